use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn shape(instances: u32) -> Shape {
    Shape { instances, start_timeout: 60 * SECOND, drain: 30 * SECOND, stop_grace: 10 * SECOND }
}

/// A machine and the world around it: processes that exist, a clock.
struct World {
    machine: Machine,
    now: Instant,
    alive: BTreeSet<Number>,
    terminated: BTreeSet<Number>,
    said: Vec<Trouble>,
    log: Vec<Action>,
}

impl World {
    fn new(instances: u32) -> Self {
        let now = Instant::now();
        let mut machine = Machine::new(shape(instances), &[], 1, now);
        machine.allow();
        Self { machine, now, alive: BTreeSet::new(), terminated: BTreeSet::new(), said: Vec::new(), log: Vec::new() }
    }

    /// Steps; preparations succeed or fail at once.
    fn step(&mut self, prepares: bool) {
        loop {
            let actions = self.machine.step(self.now);
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.log.push(action.clone());
                match action {
                    Action::Prepare { generation, .. } => self.machine.prepared(generation, prepares, self.now, 0),
                    Action::Start { number, .. } => assert!(self.alive.insert(number)),
                    Action::Terminate(number) => drop(self.terminated.insert(number)),
                    Action::Kill(number) => assert!(self.terminated.contains(&number)),
                    Action::Publish => {}
                    Action::Report(trouble) => self.said.push(trouble),
                }
            }
        }
    }

    fn exit(&mut self, number: Number) {
        self.alive.remove(&number);
        self.machine.exited(number, self.now, u64::MAX);
        self.step(true);
    }

    fn ready(&mut self, number: Number) {
        self.machine.ready(number, self.now);
        self.step(true);
    }

    fn starting(&self) -> Vec<Number> {
        let starting = self.machine.processes().filter(|(_, p)| matches!(p.phase, Phase::Starting { .. }));
        starting.map(|(number, _)| number).collect()
    }

    fn all_ready(&mut self) {
        for number in self.starting() {
            self.ready(number);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.step(true);
    }
}

#[test]
fn a_crash_after_a_good_run_is_mended_at_once_and_a_loop_is_told() {
    let mut world = World::new(1);
    world.step(true);
    world.all_ready();
    world.pass(2 * limits::GOOD_RUN);
    world.exit(1);
    assert_eq!(world.starting(), [2], "at once");
    assert_eq!(world.said, [Trouble::Exited(1)]);
    // Now it ends at each start.
    let mut waits = Vec::new();
    for number in 2..9 {
        world.exit(number);
        let wake = world.machine.next_wake().unwrap();
        waits.push(wake - world.now);
        world.pass(wake - world.now);
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= limits::RESTART_MOST));
    assert!(world.machine.crash_loop());
    assert_eq!(world.said, [Trouble::Exited(1), Trouble::Exited(2), Trouble::CrashLoop(6)]);
    // It works again, and after a while all is forgotten.
    world.all_ready();
    world.pass(limits::GOOD_RUN);
    assert!(!world.machine.crash_loop());
    assert_eq!(world.machine.next_wake(), None);
}

#[test]
fn a_restart_goes_one_by_one_with_the_new_one_ready_first() {
    let mut world = World::new(2);
    world.step(true);
    world.all_ready();
    assert_eq!(world.machine.members(), [(1, false), (2, false)]);
    world.machine.restart();
    world.step(true);
    assert_eq!(world.starting(), [3]);
    assert_eq!(world.machine.members(), [(1, false), (2, false)]);
    world.ready(3);
    assert_eq!(world.machine.members(), [(1, true), (2, false), (3, false)]);
    assert!(world.terminated.is_empty() && world.starting().is_empty());
    world.machine.drained(1, world.now);
    world.step(true);
    assert_eq!(world.terminated, BTreeSet::from([1]));
    assert!(world.starting().is_empty(), "not before the old one is gone");
    world.exit(1);
    assert_eq!(world.starting(), [4]);
    world.ready(4);
    // Nobody says that it is drained: the deadline does.
    world.pass(30 * SECOND);
    assert_eq!(world.terminated, BTreeSet::from([1, 2]));
    // It does not heed SIGTERM.
    world.pass(10 * SECOND);
    assert!(world.log.contains(&Action::Kill(2)));
    world.exit(2);
    assert_eq!(world.machine.members(), [(3, false), (4, false)]);
    assert!(!world.machine.is_rolling() && world.said.is_empty());
}

#[test]
fn a_new_version_that_fails_leaves_the_old_one_running() {
    let mut world = World::new(2);
    world.step(true);
    world.all_ready();
    world.machine.apply(shape(2), true);
    world.step(true);
    world.exit(3);
    assert_eq!(world.said, [Trouble::ReplacementFailed(3)]);
    assert_eq!(world.machine.members(), [(1, false), (2, false)]);
    // An instance of the old version that crashes meanwhile is replaced by one of the old version.
    world.exit(1);
    let (number, process) = world.machine.processes().find(|(_, p)| matches!(p.phase, Phase::Starting { .. })).unwrap();
    assert_eq!((number, process.generation), (4, 1));
    world.ready(4);
    // The new one is tried again, and works.
    world.pass(limits::PREPARE_FIRST);
    assert_eq!(world.starting(), [5]);
    world.ready(5);
    assert!(!world.machine.in_trouble());
    assert_eq!(world.said.len(), 2);
}

#[test]
fn a_failing_preparation_leaves_the_old_one_running_and_is_tried_again() {
    let mut world = World::new(1);
    world.step(true);
    world.all_ready();
    world.machine.restart();
    world.step(false);
    assert!(matches!(world.machine.preparation(), Preparation::Failed { .. }));
    world.exit(1);
    assert_eq!(world.starting(), [2], "of the version before");
    world.ready(2);
    world.pass(limits::PREPARE_FIRST);
    assert_eq!(world.starting(), [3]);
}

#[test]
fn not_ready_in_time() {
    let mut world = World::new(1);
    world.step(true);
    world.pass(60 * SECOND);
    assert_eq!((world.said.clone(), world.terminated.clone()), (vec![Trouble::NotReady(1)], BTreeSet::from([1])));
    world.exit(1);
    world.pass(SECOND);
    assert_eq!(world.starting(), [2]);
    // Told once, until it is a loop.
    for number in 2..=5 {
        world.pass(60 * SECOND);
        world.exit(number);
        world.pass(limits::RESTART_MOST);
    }
    assert_eq!(world.said, [Trouble::NotReady(1), Trouble::CrashLoop(5)]);
}

#[test]
fn adopted_instances_go_on_and_those_of_another_definition_are_replaced() {
    let now = Instant::now();
    let adopted = [
        Adopted { number: 7, slot: 0, ready: true, current: true },
        Adopted { number: 8, slot: 1, ready: true, current: false },
    ];
    let mut machine = Machine::new(shape(2), &adopted, 9, now);
    assert_eq!(machine.step(now), [Action::Publish], "serving before anything else");
    machine.allow();
    assert_eq!(machine.step(now), [Action::Prepare { generation: 1, again: true }]);
    machine.prepared(1, true, now, 0);
    assert_eq!(machine.step(now), [Action::Start { number: 9, slot: 1, generation: 1 }]);
}

#[test]
fn scaling_and_stopping() {
    let mut world = World::new(3);
    world.step(true);
    world.all_ready();
    world.machine.apply(shape(1), false);
    world.step(true);
    assert_eq!(world.machine.members(), [(1, false), (2, true), (3, true)]);
    world.machine.apply(shape(2), false);
    world.step(true);
    assert_eq!(world.starting(), [4], "what drains does not come back");
    world.machine.stop(false, world.now);
    world.step(true);
    assert_eq!(world.terminated.len(), 4);
    for number in 1..=4 {
        world.exit(number);
    }
    assert!(world.machine.is_over() && world.machine.members().is_empty());
}

#[derive(Clone, Debug)]
enum Happening {
    Ready(usize),
    Exit(usize),
    Drained(usize),
    Pass(u64),
    Restart,
    Scale(u32),
    PreparationFails,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0usize..8).prop_map(Happening::Ready),
        2 => (0usize..8).prop_map(Happening::Exit),
        2 => (0usize..8).prop_map(Happening::Drained),
        2 => (0u64..100_000).prop_map(Happening::Pass),
        1 => Just(Happening::Restart),
        1 => (1u32..5).prop_map(Happening::Scale),
        1 => Just(Happening::PreparationFails),
    ]
}

proptest! {
    /// Whatever happens: never more than one instance beyond what is wanted starts or serves, a restart never takes one away that
    /// serves before its successor is ready, the machine never spins, and when the world behaves, all is well in the end.
    #[test]
    fn whatever_happens(instances in 1u32..4, happenings in proptest::collection::vec(happening(), 0..120)) {
        let mut world = World::new(instances);
        let mut wanted = instances;
        world.step(true);
        for happening in happenings {
            let nth = |world: &World, n: usize| world.alive.iter().copied().nth(n % world.alive.len().max(1));
            let serving = serving(&world);
            let mut lost = 0;
            match happening {
                Happening::Ready(n) => if let Some(number) = nth(&world, n) { world.ready(number) },
                Happening::Exit(n) => if let Some(number) = nth(&world, n) {
                    lost = 1;
                    world.exit(number);
                },
                Happening::Drained(n) => if let Some(number) = nth(&world, n) {
                    world.machine.drained(number, world.now);
                    world.step(true);
                },
                Happening::Pass(millis) => world.pass(Duration::from_millis(millis)),
                Happening::Restart => { world.machine.restart(); world.step(true) }
                Happening::Scale(instances) => {
                    lost = wanted.saturating_sub(instances) as usize;
                    wanted = instances;
                    world.machine.apply(shape(instances), false);
                    world.step(true);
                }
                Happening::PreparationFails => { world.machine.restart(); world.step(false) }
            }
            prop_assert!(self::serving(&world) + lost >= serving.min(wanted as usize), "served without need");
            let live = world.machine.processes().filter(|(_, p)| {
                p.slot < wanted as usize && matches!(p.phase, Phase::Starting { .. } | Phase::Ready { .. })
            });
            prop_assert!(live.count() <= wanted as usize + 1);
            if let Some(wake) = world.machine.next_wake() {
                prop_assert!(wake > world.now, "would spin");
            }
        }
        for _ in 0..200 {
            world.all_ready();
            let ending: Vec<Number> = world.terminated.intersection(&world.alive).copied().collect();
            for number in ending {
                world.exit(number);
            }
            let Some(wake) = world.machine.next_wake() else { break };
            let wait = wake - world.now;
            world.pass(wait);
        }
        prop_assert_eq!(serving(&world), wanted as usize);
        prop_assert!(!world.machine.is_rolling() && !world.machine.in_trouble(), "{:?}", world.machine);
        prop_assert!(!world.machine.crash_loop(), "{:?}", world.machine);
        prop_assert_eq!(world.alive.len(), wanted as usize);
    }
}

fn serving(world: &World) -> usize {
    world.machine.members().iter().filter(|(_, draining)| !draining).count()
}
