use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_model::{AppName, Job};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::actions::{mark, shell, spawn_held};
use super::{Input, Manager};
use crate::event::JobStatus;
use crate::journal::{Addr, Entry, Kind};
use crate::machine::Number;
use crate::output::{AppLog, Fifo, Reader};
use crate::prepare::base_env;
use crate::process::{Exit, MARK, Unit};
use crate::schedule::Due;
use crate::{Identity, SpawnError, Start, findings, limits, run_dir, tmp};

const FILE: &str = "jobs.json";

/// One job.
pub(super) struct JobState {
    job: Job,
    due: Due,
    log: Arc<AppLog>,
    pub run: Option<JobRun>,
    removed: bool,
    record: Record,
    skipped: u64,
}

/// A run that is not over.
pub(super) struct JobRun {
    pub number: Number,
    pub reader: Option<Reader>,
    pub spawned: bool,
    /// Ends it, as if it were over time.
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
    started: Instant,
}

/// What is kept between runs of doorstep.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Seconds since 1970, in all three.
    last_due: Option<i64>,
    last_start: Option<i64>,
    last_result: Option<String>,
    runs: Number,
}

impl JobState {
    /// How long until it is due, by the clock on the wall.
    pub fn wake(&self) -> Option<Duration> {
        let wait = self.due.next()?.duration_since(Timestamp::now());
        Some(Duration::try_from(wait).unwrap_or_default())
    }

    pub fn stop(&mut self) {
        self.removed = true;
        if let Some(stop) = self.run.as_mut().and_then(|run| run.stop.take()) {
            let _ = stop.send(());
        }
    }

    pub fn is_idle(&self) -> bool {
        self.run.is_none()
    }

    pub fn status(&self) -> JobStatus {
        JobStatus {
            name: self.job.name.clone(),
            running: self.run.is_some(),
            next: self.due.next().map(|next| next.as_second()),
            last_start: self.record.last_start,
            last_result: self.record.last_result.clone(),
            skipped: self.skipped,
        }
    }
}

impl Manager {
    pub(super) fn apply_jobs(&mut self, jobs: Vec<Job>) {
        let now = Timestamp::now();
        for (name, state) in &mut self.jobs {
            if !jobs.iter().any(|job| job.name.0 == *name) {
                state.stop();
            }
        }
        self.jobs.retain(|_, state| !state.removed || state.run.is_some());
        let records = self.job_records();
        for job in jobs {
            let name = job.name.0.clone();
            let log = self.logs.app(&name);
            log.set_rotation(&job.log);
            match self.jobs.get_mut(&name) {
                Some(state) if !state.removed => {
                    if state.job.schedule != job.schedule {
                        state.due = Due::new(&job.schedule, TimeZone::system(), Some(state.due.last()), now);
                    }
                    state.job = job;
                }
                _ => {
                    let record = records.get(&name).cloned().unwrap_or_default();
                    let last = record.last_due.and_then(|second| Timestamp::from_second(second).ok());
                    let due = Due::new(&job.schedule, TimeZone::system(), last, now);
                    let run = self.jobs.remove(&name).and_then(|state| state.run);
                    let record = Record { last_due: Some(due.last().as_second()), ..record };
                    let state = JobState { job, due, log, run, removed: false, record, skipped: 0 };
                    self.jobs.insert(name, state);
                }
            }
        }
        self.write_job_records();
    }

    pub(super) fn run_due_jobs(&mut self) {
        let now = Timestamp::now();
        let due =
            |(name, state): (&String, &mut JobState)| (!state.removed && state.due.is_due(now)).then(|| name.clone());
        let due: Vec<String> = self.jobs.iter_mut().filter_map(due).collect();
        for name in due {
            self.start_job(&name, now);
        }
    }

    pub(super) fn start_job(&mut self, name: &str, now: Timestamp) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        state.record.last_due = Some(now.as_second());
        if state.run.is_some() {
            state.skipped += 1;
            state.log.line("doorstep", "it is time again, but the last run is not over: this run is left out");
            // Once a series: the next success ends it.
            if state.skipped == 1 {
                self.report(findings::job_skipped(name));
            }
            return;
        }
        state.record.runs += 1;
        state.record.last_start = Some(now.as_second());
        let number = state.record.runs;
        let (stop, stopped) = oneshot::channel();
        state.run =
            Some(JobRun { number, reader: None, spawned: false, stop: Some(stop), stopped, started: Instant::now() });
        self.write_job_records();
        match self.plan_job(name, number) {
            Ok(start) => {
                let mark = mark(&self.journal.token, Kind::Job, name, number);
                let (spawn, inputs, job) = (Arc::clone(&self.options.spawn), self.inputs.clone(), name.to_owned());
                tokio::spawn(async move {
                    let result = spawn_held(spawn, start, mark).await.map(|(unit, _)| unit);
                    let _ = inputs.send(Input::JobSpawned { job, number, result });
                });
            }
            Err(error) => {
                let _ = self.inputs.send(Input::JobSpawned { job: name.to_owned(), number, result: Err(error) });
            }
        }
    }

    fn plan_job(&mut self, name: &str, number: Number) -> Result<Start, SpawnError> {
        let state = self.jobs.get_mut(name).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let identity: Identity = self.options.spawn.identity(&state.job.exec)?;
        let dir = run_dir::make_app_dir(&self.options.run_dir, name, &identity, self.options.worker_group)?;
        let id = format!("run-{number}");
        let path = dir.join(format!("{id}.out"));
        let fifo = Fifo::open(&path)?;
        let output = fifo.child_end()?;
        let reader = fifo.read_into(Arc::clone(&state.log), id.clone())?;
        if let Some(run) = &mut state.run {
            run.reader = Some(reader);
        }
        let mut env = base_env(&identity, &state.job.exec);
        env.push((MARK.to_owned(), mark(&self.journal.token, Kind::Job, name, number)));
        let start = Start {
            argv: shell(&state.job.run),
            exec: state.job.exec.clone(),
            env,
            output,
            writes: Vec::new(),
            private_tmp: tmp::of(&self.options.state_dir, &state.job.exec, &format!("{name}.{id}")),
            unit: format!("{name}.{id}"),
        };
        self.journal.entries.push(Entry {
            name: name.to_owned(),
            kind: Kind::Job,
            number,
            slot: 0,
            hash: String::new(),
            process: None,
            addr: Addr::Nowhere,
            fifo: path,
            ready: false,
        });
        self.journal_dirty = true;
        self.write_journal();
        Ok(start)
    }

    pub(super) fn job_spawned(&mut self, name: &str, number: Number, result: Result<Unit, SpawnError>) {
        match result {
            Ok(unit) => {
                self.note_process(name, Kind::Job, number, &unit);
                self.attend_job(name, number, unit);
            }
            Err(error) => {
                if let Some(state) = self.jobs.get_mut(name) {
                    state.log.line("doorstep", &format!("could not be started: {}", error.what));
                }
                self.finish_job(name, number, format!("could not be started: {}", error.what), false);
            }
        }
    }

    /// Takes a run over that goes on from before this supervisor.
    pub(super) fn adopt_job(&mut self, job: &Job, number: Number, unit: Unit, reader: Option<Reader>) {
        let Some(state) = self.jobs.get_mut(&job.name.0) else { return };
        let (stop, stopped) = oneshot::channel();
        let started = Instant::now();
        state.run = Some(JobRun { number, reader, spawned: true, stop: Some(stop), stopped, started });
        self.attend_job(&job.name.0, number, unit);
    }

    fn attend_job(&mut self, name: &str, number: Number, unit: Unit) {
        let Some(state) = self.jobs.get_mut(name) else { return };
        let Some(run) = state.run.as_mut() else { return };
        run.spawned = true;
        let (_, nothing) = oneshot::channel();
        let stopped = std::mem::replace(&mut run.stopped, nothing);
        let timeout = state.job.timeout;
        let left = timeout.map(|timeout| timeout.saturating_sub(run.started.elapsed()));
        let (inputs, job, spawn) = (self.inputs.clone(), name.to_owned(), Arc::clone(&self.options.spawn));
        let unit_name = format!("{name}.run-{number}");
        let state_dir = self.options.state_dir.clone();
        tokio::spawn(async move {
            let over_time = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            let mut timed_out = false;
            tokio::select! {
                _ = unit.ended() => {}
                () = over_time => { timed_out = true; end(&unit).await }
                Ok(()) = stopped => end(&unit).await,
            }
            let exit = unit.ended().await;
            unit.finish(limits::LEFTOVER_GRACE).await;
            tmp::release(spawn, state_dir, unit_name).await;
            let _ = inputs.send(Input::JobOver { job, number, exit, timed_out });
        });
    }

    pub(super) fn job_over(&mut self, name: &str, number: Number, exit: Exit, timed_out: bool) {
        let timeout = self.jobs.get(name).and_then(|state| state.job.timeout).unwrap_or_default();
        let how = if timed_out {
            format!("was ended after {} s, its timeout", timeout.as_secs())
        } else if exit.succeeded() {
            "done".to_owned()
        } else {
            exit.words()
        };
        self.finish_job(name, number, how, exit.succeeded() && !timed_out);
    }

    fn finish_job(&mut self, name: &str, number: Number, how: String, succeeded: bool) {
        self.forget_entry(name, Kind::Job, number);
        let Some(state) = self.jobs.get_mut(name) else { return };
        let Some(run) = state.run.take_if(|run| run.number == number) else { return };
        let (inputs, log, quiet) = (self.events.clone(), Arc::clone(&state.log), succeeded || state.removed);
        let (job, words) = (name.to_owned(), how.clone());
        // Its last words are read before they are quoted.
        tokio::spawn(async move {
            if let Some(reader) = run.reader {
                reader.finish().await;
            }
            log.line("doorstep", &format!("run-{number} {words}"));
            if !quiet {
                let said = log.said(&format!("run-{number}"), limits::REPORT_LINES);
                let _ = inputs.send(crate::Event::Finding(findings::job_failed(&job, &words, &said)));
            }
        });
        if succeeded {
            state.skipped = 0;
        }
        state.record.last_result = Some(how);
        if state.removed {
            self.jobs.remove(name);
        }
        self.write_job_records();
    }

    fn job_records(&self) -> BTreeMap<String, Record> {
        let text = doorstep_store::read_private(&self.options.state_dir.join(FILE)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn write_job_records(&self) {
        if self.jobs.is_empty() {
            return;
        }
        let records: BTreeMap<&String, &Record> = self.jobs.iter().map(|(name, state)| (name, &state.record)).collect();
        if let Ok(text) = serde_json::to_vec_pretty(&records) {
            // Without it, an interval begins anew at the next start; not worth an alarm.
            let _ = doorstep_store::write_private(&self.options.state_dir.join(FILE), &text);
        }
    }
}

async fn end(unit: &Unit) {
    unit.terminate();
    if tokio::time::timeout(limits::JOB_GRACE, unit.ended()).await.is_err() {
        unit.kill();
    }
}

/// The jobs' names, for whoever looks an entry up.
pub(super) fn find<'a>(jobs: &'a [Job], name: &str) -> Option<&'a Job> {
    jobs.iter().find(|job| job.name == AppName(name.to_owned()))
}
