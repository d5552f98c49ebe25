use std::time::Instant;

use super::{Action, Generation, Machine, Number, Phase, Preparation, Process, Trouble};
use crate::limits;

impl Machine {
    /// Everything that should be done now. Call it after each input, and at [`Machine::next_wake`].
    pub fn step(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.forget_failures(now);
        self.forget_waits(now);
        self.end_what_is_over_time(now, &mut actions);
        if !self.stopping {
            self.prepare(now, &mut actions);
            self.shrink(now, &mut actions);
            self.leave_stale_starts(now, &mut actions);
            self.fill(now, &mut actions);
            self.roll(now, &mut actions);
        }
        self.publish(&mut actions);
        actions.extend(self.reports.drain(..).map(Action::Report));
        actions
    }

    /// When [`Machine::step`] has something to do, if nothing happens before.
    pub fn next_wake(&self) -> Option<Instant> {
        let phases = self.processes.values().filter_map(|process| match process.phase {
            Phase::Starting { deadline } => Some(deadline),
            Phase::Ready { since } => {
                let failures = self.slots.get(process.slot).is_some_and(|slot| slot.has_failures());
                failures.then_some(since + limits::GOOD_RUN)
            }
            Phase::Draining { until } => Some(until),
            Phase::Stopping { kill_at, .. } => kill_at,
        });
        let empty = (0..self.shape.instances as usize).filter(|slot| !self.is_filled(*slot));
        let retries = empty.filter_map(|slot| self.slots.get(slot)?.not_before);
        let waits = if self.stopping { None } else { self.retry_at };
        let prepare = match self.preparation {
            Preparation::Failed { retry_at } if !self.stopping => Some(retry_at),
            _ => None,
        };
        phases.chain(retries.filter(|_| !self.stopping)).chain(waits).chain(prepare).min()
    }

    fn forget_failures(&mut self, now: Instant) {
        for process in self.processes.values() {
            if let Phase::Ready { since } = process.phase
                && now.duration_since(since) >= limits::GOOD_RUN
                && let Some(slot) = self.slots.get_mut(process.slot)
                && slot.has_failures()
            {
                slot.forget();
            }
        }
    }

    fn forget_waits(&mut self, now: Instant) {
        let waits = self.slots.iter_mut().map(|slot| &mut slot.not_before).chain([&mut self.retry_at]);
        for wait in waits.filter(|wait| wait.is_some_and(|until| until <= now)) {
            *wait = None;
        }
    }

    fn end_what_is_over_time(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let grace = self.shape.stop_grace;
        let slots = self.processes.values().map(|process| process.slot).max().map_or(0, |most| most + 1);
        // Told once in a row; where an older one serves, its end is told as a failed replacement.
        let told: Vec<bool> = (0..slots)
            .map(|slot| self.serves_older(slot) || self.slots.get(slot).is_some_and(|slot| slot.has_failures()))
            .collect();
        for (number, process) in &mut self.processes {
            match &mut process.phase {
                Phase::Starting { deadline } if *deadline <= now => {
                    if !told.get(process.slot).is_some_and(|told| *told) {
                        self.reports.push(Trouble::NotReady(*number));
                    }
                    process.phase = Phase::Stopping { kill_at: Some(now + grace), failed: true };
                    actions.push(Action::Terminate(*number));
                }
                Phase::Draining { until } if *until <= now => {
                    process.phase = Phase::Stopping { kill_at: Some(now + grace), failed: false };
                    actions.push(Action::Terminate(*number));
                }
                Phase::Stopping { kill_at: kill_at @ Some(_), .. } if kill_at.is_some_and(|at| at <= now) => {
                    *kill_at = None;
                    actions.push(Action::Kill(*number));
                }
                _ => {}
            }
        }
    }

    fn prepare(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let again = match self.preparation {
            Preparation::Needed { again } if self.allowed => again,
            Preparation::Failed { retry_at } if retry_at <= now => false,
            _ => return,
        };
        self.preparation = Preparation::Running;
        actions.push(Action::Prepare { generation: self.wanted, again });
    }

    /// Fewer instances are wanted than there are.
    fn shrink(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let wanted = self.shape.instances as usize;
        for (number, process) in self.processes.iter_mut().filter(|(_, process)| process.slot >= wanted) {
            match process.phase {
                Phase::Ready { .. } => process.phase = Phase::Draining { until: now + self.shape.drain },
                Phase::Starting { .. } => {
                    process.phase = Phase::Stopping { kill_at: Some(now + self.shape.stop_grace), failed: false };
                    actions.push(Action::Terminate(*number));
                }
                _ => {}
            }
        }
        self.slots.truncate(wanted);
    }

    /// What has not become ready yet and is of an older generation has no right to go on.
    fn leave_stale_starts(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.preparation != Preparation::Done || self.trouble {
            return;
        }
        for (number, process) in &mut self.processes {
            if process.generation != self.wanted && matches!(process.phase, Phase::Starting { .. }) {
                process.phase = Phase::Stopping { kill_at: Some(now + self.shape.stop_grace), failed: false };
                actions.push(Action::Terminate(*number));
            }
        }
    }

    /// Empty places get an instance: of the wanted generation if that can be, else of the last good one.
    fn fill(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(generation) = self.fit_to_start() else { return };
        for slot in 0..self.shape.instances as usize {
            let waits = self.slots.get(slot).is_some_and(|slot| slot.not_before.is_some());
            if !waits && !self.is_filled(slot) {
                actions.push(self.start(slot, generation, now));
            }
        }
    }

    fn fit_to_start(&self) -> Option<Generation> {
        // Generation 0 is known by its running instances only.
        let good = self.good.filter(|good| *good != self.wanted && *good != 0);
        match self.preparation {
            Preparation::Done if !self.trouble || good.is_none() => Some(self.wanted),
            _ => good,
        }
    }

    /// The next instance of an older generation gets its successor, if none is on its way in or out.
    fn roll(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.preparation != Preparation::Done || self.retry_at.is_some() {
            return;
        }
        let places = self.processes.values().filter(|process| process.slot < self.shape.instances as usize);
        if !places.clone().all(|process| matches!(process.phase, Phase::Ready { .. })) {
            return;
        }
        let old = places.filter(|process| process.generation != self.wanted).map(|process| process.slot).min();
        if let Some(slot) = old {
            actions.push(self.start(slot, self.wanted, now));
        }
    }

    fn publish(&mut self, actions: &mut Vec<Action>) {
        let members = self.processes.iter().filter_map(|(number, process)| match process.phase {
            Phase::Ready { .. } => Some((*number, false)),
            Phase::Draining { .. } => Some((*number, true)),
            _ => None,
        });
        let members: Vec<(Number, bool)> = members.collect();
        if members != self.published {
            self.published = members;
            // Before anything ends: whoever sends requests should know first.
            actions.insert(0, Action::Publish);
        }
    }

    fn start(&mut self, slot: usize, generation: Generation, now: Instant) -> Action {
        let number = self.next;
        self.next += 1;
        let phase = Phase::Starting { deadline: now + self.shape.start_timeout };
        self.slot(slot).not_before = None;
        self.processes.insert(number, Process { slot, generation, phase });
        Action::Start { number, slot, generation }
    }

    /// What failed to start counts until it is gone: its end is the failure that says how long to wait.
    fn is_filled(&self, slot: usize) -> bool {
        self.processes.values().filter(|process| process.slot == slot).any(|process| match process.phase {
            Phase::Starting { .. } | Phase::Ready { .. } => true,
            Phase::Stopping { failed, .. } => failed,
            Phase::Draining { .. } => false,
        })
    }
}
