//! What to do when, for one app: which instances to start, replace, drain, end, and how long to wait after a failure. Without IO;
//! the time comes in as an argument.

mod decide;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorstep_model::Backoff;

use crate::limits;
pub(crate) use slot::Slot;

/// What the machine needs to know of an app's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub instances: u32,
    pub start_timeout: Duration,
    pub drain: Duration,
    pub stop_grace: Duration,
}

/// The number of an instance, unique within an app.
pub(crate) type Number = u64;
/// The number of a generation: one definition, prepared once. Zero is one from before this supervisor, of another definition.
pub(crate) type Generation = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting {
        deadline: Instant,
    },
    Ready {
        since: Instant,
    },
    Draining {
        until: Instant,
    },
    /// SIGTERM was sent; SIGKILL follows at `kill_at`, if it was not sent already.
    Stopping {
        kill_at: Option<Instant>,
        failed: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub slot: usize,
    pub generation: Generation,
    pub phase: Phase,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Install, run the pre-start commands (not if `again`: instances of this generation ran before), and say so by
    /// [`Machine::prepared`].
    Prepare {
        generation: Generation,
        again: bool,
    },
    Start {
        number: Number,
        slot: usize,
        generation: Generation,
    },
    Terminate(Number),
    Kill(Number),
    /// [`Machine::members`] changed.
    Publish,
    Report(Trouble),
}

/// What a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// An instance ended by itself, and is started again.
    Exited(Number),
    /// It ends soon after each start.
    CrashLoop(Number),
    /// Not ready in time.
    NotReady(Number),
    /// A new version does not become ready; the one before goes on.
    ReplacementFailed(Number),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    Needed { again: bool },
    Running,
    Done,
    Failed { retry_at: Instant },
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Machine {
    shape: Shape,
    wanted: Generation,
    preparation: Preparation,
    prepare_backoff: Backoff,
    /// The last generation of which an instance became ready.
    good: Option<Generation>,
    /// The wanted generation failed to become ready while another one serves.
    trouble: bool,
    /// It is tried again then. `None`: as soon as may be.
    retry_at: Option<Instant>,
    trouble_backoff: Backoff,
    replacement_reported: bool,
    slots: Vec<Slot>,
    processes: BTreeMap<Number, Process>,
    next: Number,
    allowed: bool,
    stopping: bool,
    published: Vec<(Number, bool)>,
    reports: Vec<Trouble>,
    restarts: u64,
}

/// An instance from before this supervisor that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Adopted {
    pub number: Number,
    pub slot: usize,
    pub ready: bool,
    /// Of the definition that is wanted now.
    pub current: bool,
}

impl Machine {
    pub fn new(shape: Shape, adopted: &[Adopted], next: Number, now: Instant) -> Self {
        let mut machine = Self {
            preparation: Preparation::Needed { again: adopted.iter().any(|one| one.current) },
            prepare_backoff: Backoff::new(limits::PREPARE_FIRST, limits::PREPARE_MOST),
            trouble_backoff: Backoff::new(limits::PREPARE_FIRST, limits::PREPARE_MOST),
            shape,
            wanted: 1,
            good: None,
            trouble: false,
            retry_at: None,
            replacement_reported: false,
            slots: Vec::new(),
            processes: BTreeMap::new(),
            next,
            allowed: false,
            stopping: false,
            published: Vec::new(),
            reports: Vec::new(),
            restarts: 0,
        };
        for one in adopted {
            let phase = if one.ready {
                Phase::Ready { since: now }
            } else {
                Phase::Starting { deadline: now + machine.shape.start_timeout }
            };
            let generation = u64::from(one.current);
            machine.processes.insert(one.number, Process { slot: one.slot, generation, phase });
            machine.next = machine.next.max(one.number + 1);
            if one.ready && one.current {
                machine.good = Some(generation);
            }
        }
        machine
    }

    /// Another definition: `changed` if instances of the one before have to be replaced. Also takes back a [`Machine::stop`].
    pub fn apply(&mut self, shape: Shape, changed: bool) {
        self.shape = shape;
        self.stopping = false;
        if changed {
            self.restart();
        }
    }

    /// Replaces all instances by new ones of a new generation.
    pub fn restart(&mut self) {
        self.wanted += 1;
        self.preparation = Preparation::Needed { again: false };
        self.prepare_backoff.reset();
        self.trouble = false;
        self.retry_at = None;
        self.trouble_backoff.reset();
        self.replacement_reported = false;
        for slot in &mut self.slots {
            slot.forget();
        }
    }

    /// Ends all instances: drained first, or told to end at once.
    pub fn stop(&mut self, drain: bool, now: Instant) {
        self.stopping = true;
        for process in self.processes.values_mut() {
            match process.phase {
                Phase::Ready { .. } if drain => process.phase = Phase::Draining { until: now + self.shape.drain },
                Phase::Draining { .. } if drain => {}
                Phase::Stopping { .. } => {}
                // Ended by the next step.
                _ => process.phase = Phase::Draining { until: now },
            }
        }
    }

    /// What it comes after is ready.
    pub fn allow(&mut self) {
        self.allowed = true;
    }

    pub fn prepared(&mut self, generation: Generation, succeeded: bool, now: Instant, random: u64) {
        if generation != self.wanted || self.preparation != Preparation::Running {
            return;
        }
        self.preparation = if succeeded {
            Preparation::Done
        } else {
            Preparation::Failed { retry_at: now + self.prepare_backoff.next(random) }
        };
    }

    /// The preparation under way was given up.
    pub fn unprepare(&mut self) {
        if self.preparation == Preparation::Running {
            self.preparation = Preparation::Needed { again: false };
        }
    }

    pub fn ready(&mut self, number: Number, now: Instant) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let Phase::Starting { .. } = process.phase else { return };
        process.phase = Phase::Ready { since: now };
        let (slot, generation) = (process.slot, process.generation);
        if self.good != Some(self.wanted) {
            self.good = Some(generation);
        }
        if generation == self.wanted {
            self.trouble = false;
            self.retry_at = None;
            self.trouble_backoff.reset();
        }
        for (other, process) in &mut self.processes {
            if *other != number && process.slot == slot && matches!(process.phase, Phase::Ready { .. }) {
                process.phase = Phase::Draining { until: now + self.shape.drain };
            }
        }
    }

    pub fn drained(&mut self, number: Number, now: Instant) {
        if let Some(Process { phase: Phase::Draining { until }, .. }) = self.processes.get_mut(&number) {
            *until = now;
        }
    }

    /// An instance ended, or could not be started at all.
    pub fn exited(&mut self, number: Number, now: Instant, random: u64) {
        let Some(process) = self.processes.remove(&number) else { return };
        let ready_since = match process.phase {
            Phase::Draining { .. } | Phase::Stopping { failed: false, .. } => return,
            Phase::Ready { since } => Some(since),
            Phase::Starting { .. } | Phase::Stopping { failed: true, .. } => None,
        };
        let was_too_slow = matches!(process.phase, Phase::Stopping { .. });
        if self.stopping {
            return;
        }
        let fell_back = self.good.is_some_and(|good| good != self.wanted) || self.serves_older(process.slot);
        if process.generation == self.wanted && ready_since.is_none() && fell_back {
            self.trouble = true;
            self.retry_at = Some(now + self.trouble_backoff.next(random));
            if !self.replacement_reported {
                self.replacement_reported = true;
                self.reports.push(Trouble::ReplacementFailed(number));
            }
            return;
        }
        self.restarts += 1;
        let slot = self.slot(process.slot);
        let early = slot.failed(ready_since, now, random);
        if early == limits::CRASH_LOOP {
            self.reports.push(Trouble::CrashLoop(number));
        } else if early <= 1 && !was_too_slow {
            self.reports.push(Trouble::Exited(number));
        }
    }

    /// Who gets requests, and whether it is draining.
    pub fn members(&self) -> &[(Number, bool)] {
        &self.published
    }

    pub fn processes(&self) -> impl Iterator<Item = (Number, &Process)> {
        self.processes.iter().map(|(number, process)| (*number, process))
    }

    /// At least one instance is ready.
    pub fn is_up(&self) -> bool {
        self.processes.values().any(|process| matches!(process.phase, Phase::Ready { .. }))
    }

    pub fn wanted(&self) -> Generation {
        self.wanted
    }

    /// Whether instances of this generation run or may be started.
    pub fn uses(&self, generation: Generation) -> bool {
        generation == self.wanted
            || self.good == Some(generation)
            || self.processes.values().any(|process| process.generation == generation)
    }

    /// Whether nothing is left of it, after a [`Machine::stop`].
    pub fn is_over(&self) -> bool {
        self.stopping && self.processes.is_empty()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub fn is_allowed(&self) -> bool {
        self.allowed
    }

    pub fn preparation(&self) -> Preparation {
        self.preparation
    }

    pub fn in_trouble(&self) -> bool {
        self.trouble
    }

    /// Instances are of two generations.
    pub fn is_rolling(&self) -> bool {
        self.processes.values().any(|process| process.generation != self.wanted)
    }

    pub fn crash_loop(&self) -> bool {
        self.slots.iter().any(Slot::is_looping)
    }

    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    pub fn next_number(&self) -> Number {
        self.next
    }

    /// Whether an instance of another generation is ready in this place.
    fn serves_older(&self, slot: usize) -> bool {
        let older = |process: &Process| process.slot == slot && process.generation != self.wanted;
        self.processes.values().any(|process| older(process) && matches!(process.phase, Phase::Ready { .. }))
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        while self.slots.len() <= index {
            self.slots.push(Slot::default());
        }
        &mut self.slots[index]
    }
}
