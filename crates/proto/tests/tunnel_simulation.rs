//! The tunnel's machines against an adversarial network, by seed: connections cut at any byte, paths that go silent, bytes
//! that arrive in any portions and any order between connections, readers that do not read, an agent that comes twice,
//! clocks that jump. The invariants are checked after each step.
//!
//! `TUNNEL_SEED=123 cargo test -p doorstep-proto --test tunnel_simulation` runs one seed again, `TUNNEL_SEEDS=100000` more.

mod simulation;

use simulation::World;

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.steps() {
        world.step();
        world.check();
    }
    world.heal_and_finish();
}

#[test]
fn thousands_of_seeds() {
    if let Some(seed) = std::env::var("TUNNEL_SEED").ok().and_then(|text| text.parse().ok()) {
        return run(seed);
    }
    let seeds = std::env::var("TUNNEL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    for seed in 1..=seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} fails; run it again with TUNNEL_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
