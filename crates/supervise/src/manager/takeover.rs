use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_model::{App, Job, Orphans};

use super::actions::mark;
use super::app::{Running, instance_id};
use super::{Input, Manager, job};
use crate::journal::{Entry, Kind, Started};
use crate::limits;
use crate::machine::Phase;
use crate::output::{Fifo, Reader};
use crate::process::{Unit, end_orphans};
use crate::supervisor::SuperviseError;

impl Manager {
    /// What the supervisor before left running goes on, or is ended, as the definitions say. Nothing new starts before that is done.
    pub(super) fn take_over(&mut self, apps: &[App], jobs: &[Job]) {
        self.taken_over = true;
        let entries = std::mem::take(&mut self.journal.entries);
        let handed_over = std::mem::take(&mut self.journal.handed_over);
        self.journal_dirty = true;
        let mut kept = Vec::new();
        for app in apps {
            if !handed_over && app.orphans != Orphans::Adopt {
                continue;
            }
            let own = entries.iter().filter(|entry| entry.kind == Kind::Instance && entry.name == app.name.0);
            let alive: Vec<(Entry, Unit)> = own.filter_map(|entry| Some((entry.clone(), self.hold(entry)?))).collect();
            if alive.is_empty() {
                continue;
            }
            let adopted: Vec<Entry> = alive.iter().map(|(entry, _)| entry.clone()).collect();
            self.apply_app(app.clone(), &adopted, Instant::now());
            // Where that was refused (its user is gone), they are ended.
            if self.apps.contains_key(&app.name.0) {
                for (entry, unit) in alive {
                    kept.push(self.mark_of(&entry));
                    self.adopt(&entry, unit);
                }
            }
        }
        if handed_over {
            self.apply_jobs(jobs.to_vec());
            for entry in entries.iter().filter(|entry| entry.kind == Kind::Job) {
                if let (Some(job), Some(unit)) = (job::find(jobs, &entry.name), self.hold(entry)) {
                    kept.push(self.mark_of(entry));
                    let reader = self.reader(entry, &format!("run-{}", entry.number));
                    self.journal.entries.push(entry.clone());
                    self.adopt_job(job, entry.number, unit, reader);
                }
            }
        }
        for entry in entries.iter().filter(|entry| !kept.contains(&self.mark_of(entry))) {
            let _ = std::fs::remove_file(&entry.fifo);
            if let crate::journal::Addr::Socket(path) = &entry.addr {
                let _ = std::fs::remove_file(path);
            }
        }
        let (token, inputs) = (self.journal.token.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let count = end_orphans(&token, kept, limits::ORPHAN_GRACE).await;
            let _ = inputs.send(Input::OrphansEnded(count));
        });
    }

    fn adopt(&mut self, entry: &Entry, unit: Unit) {
        let id = instance_id(entry.slot, entry.number);
        let reader = self.reader(entry, &id);
        let started = started_at(unit.started);
        let Some(state) = self.apps.get_mut(&entry.name) else { return };
        state.log.line("doorstep", &format!("{id} goes on from before"));
        let running = Running {
            id,
            addr: entry.addr.clone(),
            uid: state.identity.uid,
            unit: None,
            reader,
            fifo: entry.fifo.clone(),
            probe: None,
            started,
            doomed: (false, false),
            exit: None,
            how: String::new(),
        };
        state.instances.insert(entry.number, running);
        self.journal.entries.push(entry.clone());
        self.attend(&entry.name, entry.number, unit);
    }

    /// Writes down what runs and lets go of it; see [`crate::Supervisor::hand_over`].
    pub(super) async fn hand_over(&mut self) -> Result<(), SuperviseError> {
        // What is just being started has no number yet: it is waited for.
        while self.is_spawning() {
            match self.reports.recv().await {
                Some(input) => self.input(input),
                None => break,
            }
        }
        self.journal.handed_over = true;
        if let Err(source) = self.journal.write(&self.options.state_dir) {
            self.journal.handed_over = false;
            return Err(SuperviseError::Io { path: self.options.state_dir.join("apps.json"), source });
        }
        self.handed_over = true;
        for state in self.apps.values_mut() {
            state.give_up_preparing();
        }
        let readers =
            self.apps.values_mut().flat_map(|state| state.instances.values_mut()).map(|one| one.reader.take());
        let readers =
            readers.chain(self.jobs.values_mut().filter_map(|job| job.run.as_mut()).map(|run| run.reader.take()));
        for reader in readers.flatten().collect::<Vec<_>>() {
            reader.pause().await;
        }
        self.logs.flush().await;
        Ok(())
    }

    /// The program was not replaced after all.
    pub(super) fn resume(&mut self) {
        if !std::mem::take(&mut self.handed_over) {
            return;
        }
        self.journal.handed_over = false;
        self.journal_dirty = true;
        for state in self.apps.values_mut() {
            for running in state.instances.values_mut().filter(|running| running.reader.is_none()) {
                running.reader = open_reader(&running.fifo, &state.log, &running.id);
            }
        }
        for entry in self.journal.entries.clone().into_iter().filter(|entry| entry.kind == Kind::Job) {
            let reader = self.reader(&entry, &format!("run-{}", entry.number));
            if let Some(run) = self.jobs.get_mut(&entry.name).and_then(|job| job.run.as_mut()) {
                run.reader = reader;
            }
        }
    }

    fn is_spawning(&self) -> bool {
        let starting = |state: &super::app::AppState| {
            let known =
                |number| state.machine.processes().any(|(n, process)| n == number && !is_stopping(process.phase));
            state.instances.iter().any(|(number, running)| running.unit.is_none() && known(*number))
        };
        self.apps.values().any(starting)
            || self.jobs.values().any(|job| job.run.as_ref().is_some_and(|run| !run.spawned))
    }

    fn hold(&self, entry: &Entry) -> Option<Unit> {
        let id = match entry.kind {
            Kind::Instance => instance_id(entry.slot, entry.number),
            Kind::Job => format!("run-{}", entry.number),
        };
        let cgroup = self.options.spawn.cgroup(&format!("{}.{id}", entry.name));
        Unit::hold_again(entry.process?, self.mark_of(entry), cgroup).ok()
    }

    fn mark_of(&self, entry: &Entry) -> String {
        mark(&self.journal.token, entry.kind, &entry.name, entry.number)
    }

    fn reader(&self, entry: &Entry, id: &str) -> Option<Reader> {
        open_reader(&entry.fifo, &self.logs.app(&entry.name), id)
    }
}

fn is_stopping(phase: Phase) -> bool {
    matches!(phase, Phase::Stopping { .. })
}

/// `None` where the pipe is gone: the instance goes on, unheard.
fn open_reader(path: &Path, log: &Arc<crate::output::AppLog>, id: &str) -> Option<Reader> {
    Fifo::open(path).and_then(|fifo| fifo.read_into(Arc::clone(log), id.to_owned())).ok()
}

/// When a process started, by our clock.
fn started_at(started: Started) -> Instant {
    let now = Instant::now();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(u64::try_from(boot.tv_sec).unwrap_or_default(), 0);
    let at = Duration::from_millis(started.start_time.saturating_mul(1000) / per_second);
    now.checked_sub(since_boot.saturating_sub(at)).unwrap_or(now)
}
