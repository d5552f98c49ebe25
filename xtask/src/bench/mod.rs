//! `cargo xtask bench`: doorstep beside Debian's nginx, haproxy and caddy, in one interleaved run on this machine.
//!
//! The figure that counts is CPU time of the server per request, as a ratio to nginx in the same run; it is far steadier
//! than throughput and latency, which stand beside it. Every server has its access log on and is pinned to one core; load
//! and the app behind the proxies share the other one.

mod cases;
mod footprint;
mod idle;
mod lab;
mod load;
mod peers;
mod process;
mod reload;
mod sites;
mod spread;
mod table;
mod tunnel;

use anyhow::{Result, bail};

use crate::{packages, sh};
use cases::Case;
use footprint::Footprint;
use idle::Idle;
use lab::Lab;
use load::Load;
use peers::{Cores, Peer, Server};
use process::CpuTime;
use reload::Reload;
use spread::Spread;

/// How often each cell is measured; the median counts.
const ROUNDS: usize = 3;

/// One server in one case: the medians of its rounds.
pub struct Cell {
    pub case: &'static Case,
    pub peer: Peer,
    /// CPU time of all the server's processes per request.
    pub cpu_micros: f64,
    pub requests_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Answers that were no success, and connections that broke, in all rounds.
    pub errors: u64,
}

/// All that was measured.
#[derive(Default)]
pub struct Figures {
    pub cells: Vec<Cell>,
    pub idle: Vec<Idle>,
    pub spread: Vec<Spread>,
    pub reloads: Vec<Reload>,
    pub footprints: Vec<Footprint>,
    pub tunnels: tunnel::Figures,
}

/// Runs the named cases, or all of them; only a full run writes docs/benchmarks.md.
///
/// # Errors
/// When a peer is missing, a server does not start, or a name is no case.
pub fn run(names: &[&str]) -> Result<()> {
    if names == ["--list"] {
        names_of_cases().iter().for_each(|name| println!("{name}"));
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| !names_of_cases().contains(name)) {
        bail!("{unknown} is no case; there are: {}", names_of_cases().join(", "));
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("the benchmark needs two cores: one for the server, one for the load");
    }
    let busy = process::load_average();
    let missing = packages::provide(packages::BENCHMARKS)?;
    if !missing.is_empty() {
        bail!("the benchmark cannot run without: {}", missing.join(", "));
    }
    sh::run(sh::cargo().args(["build", "--release", "--package", "doorstep"]))?;

    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let lab = Lab::new()?;
    let mut figures = Figures::default();
    for case in cases::ALL.iter().filter(|case| wanted(case.name)) {
        figures.cells.extend(measure(case, &lab)?);
    }
    for case in idle::ALL.iter().filter(|case| wanted(case.name)) {
        figures.idle.extend(idle::measure(case, &lab)?);
    }
    if wanted(spread::NAME) {
        figures.spread = spread::measure(&lab)?;
    }
    if wanted(reload::NAME) {
        figures.reloads = reload::measure(&lab)?;
    }
    for case in footprint::ALL.iter().filter(|case| wanted(case.name)) {
        figures.footprints.extend(footprint::measure(case, &lab)?);
    }
    figures.tunnels = tunnel::measure(&lab, wanted)?;

    let page = table::page(busy, &figures)?;
    if names.is_empty() {
        table::write(&page)?;
    }
    println!("\n{page}");
    Ok(())
}

fn names_of_cases() -> Vec<&'static str> {
    let loads = cases::ALL.iter().map(|case| case.name);
    let footprints = footprint::ALL.iter().map(|case| case.name);
    let idle = idle::ALL.iter().map(|case| case.name);
    loads
        .chain(idle)
        .chain([spread::NAME, reload::NAME])
        .chain(footprints)
        .chain([tunnel::GROUP])
        .chain(tunnel::names())
        .collect()
}

/// All servers of a case, started once, loaded in turn, round after round.
fn measure(case: &'static Case, lab: &Lab) -> Result<Vec<Cell>> {
    println!("\n━━ {}: {}", case.name, case.title);
    let servers: Vec<(Peer, Server)> = case
        .peers
        .iter()
        .map(|&peer| Ok((peer, Server::start(peer, case.setup, lab, Cores::One)?)))
        .collect::<Result<_>>()?;
    let mut rounds: Vec<Vec<(f64, Load)>> = servers.iter().map(|_| Vec::new()).collect();
    for (_, server) in &servers {
        case.load.warm_up(server.port, lab)?;
    }
    for _ in 0..ROUNDS {
        for ((peer, server), rounds) in servers.iter().zip(&mut rounds) {
            let before = CpuTime::of(server.pid())?;
            let load = case.load.run(server.port, lab)?;
            let micros = CpuTime::of(server.pid())?.since(before).as_secs_f64() * 1e6 / load.requests.max(1) as f64;
            println!(
                "{:<9} {micros:>8.1} µs CPU/request {:>9.0} requests/s  p50 {:>7.2} ms  p99 {:>7.2} ms  {} errors",
                peer.name(),
                load.requests_per_second,
                load.p50_ms,
                load.p99_ms,
                load.errors
            );
            rounds.push((micros, load));
        }
    }
    Ok(servers.iter().zip(rounds).map(|((peer, _), rounds)| summarise(case, *peer, &rounds)).collect())
}

fn summarise(case: &'static Case, peer: Peer, rounds: &[(f64, Load)]) -> Cell {
    let middle = |figure: fn(&(f64, Load)) -> f64| median(rounds.iter().map(figure).collect());
    Cell {
        case,
        peer,
        cpu_micros: middle(|(micros, _)| *micros),
        requests_per_second: middle(|(_, load)| load.requests_per_second),
        p50_ms: middle(|(_, load)| load.p50_ms),
        p99_ms: middle(|(_, load)| load.p99_ms),
        errors: rounds.iter().map(|(_, load)| load.errors).sum(),
    }
}

/// The middle one; 0 of nothing.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
