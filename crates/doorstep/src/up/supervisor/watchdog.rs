//! Keeping a worker alive: one that crashes or hangs is replaced, while the sockets stay open.

use std::time::Instant;

use doorstep_model::{Blame, Finding, Severity};

use doorstep_supervise::{AppStatus, InstanceState};

use super::{Phase, Supervisor};
use crate::limits::WORKER_SILENCE;
use crate::up::link::{AppNumbers, Numbers, Question, ToWorker};

impl Supervisor {
    /// Asks the worker how it does; one that has been silent for too long is ended, and so replaced.
    pub(super) async fn watch_worker(&mut self) {
        super::notify::alive();
        let Some(worker) = self.serving() else { return };
        if worker.heard.elapsed() > WORKER_SILENCE {
            let id = worker.id;
            worker.kill();
            self.finding(&hangs());
            // Said once: the end of the process is what counts from here on.
            if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
                worker.heard = Instant::now();
            }
            return;
        }
        let numbers = self.numbers().await;
        if let Some(worker) = self.serving() {
            worker.send(ToWorker::Numbers(numbers));
        }
        self.ask_worker(Question::Status);
    }

    async fn numbers(&self) -> Numbers {
        let app = |status: AppStatus| AppNumbers {
            ready: status.instances.iter().filter(|one| one.state == InstanceState::Ready).count() as u32,
            restarts: status.restarts,
            name: status.name.0,
        };
        Numbers {
            reloads: self.counts.reloads,
            upgrades: self.counts.upgrades,
            worker_restarts: self.counts.worker_restarts,
            apps: self.apps.status().await.into_iter().map(app).collect(),
        }
    }

    /// Starts the worker that takes the place of one that crashed.
    pub(super) fn replace_crashed(&mut self) {
        if self.workers.iter().any(|worker| worker.phase != Phase::Draining) {
            return;
        }
        let binary = self.options.binary.clone();
        if let Err(failure) = self.spawn_worker(&binary) {
            self.finding(&cannot_start(&failure.to_string()));
            self.restart_at = Some(Instant::now() + self.restart.next(random()));
        }
    }
}

/// For jitter only.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}

pub fn crashed(how: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        blame: Blame::Doorstep,
        id: "worker-crashed",
        what: format!("The worker {how}. Another takes its place."),
        why: "Requests that were in flight on it are lost; new connections wait for the next worker.".to_owned(),
        fix: "If it happens again, report it with the last lines of the log.".to_owned(),
    }
}

fn hangs() -> Finding {
    Finding {
        severity: Severity::Error,
        blame: Blame::Doorstep,
        id: "worker-hangs",
        what: format!("The worker said nothing for {} s and is replaced.", WORKER_SILENCE.as_secs()),
        why: "It may wait for a disk or a network file system that does not answer.".to_owned(),
        fix: String::new(),
    }
}

fn cannot_start(problem: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        blame: Blame::Environment,
        id: "worker-not-started",
        what: format!("A new worker cannot be started: {problem}"),
        why: "Nobody is answered until it can.".to_owned(),
        fix: String::new(),
    }
}
