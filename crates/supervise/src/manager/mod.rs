//! The task that runs everything: takes commands, lets the machines decide, and carries out what they say.

mod actions;
mod app;
mod job;
mod status;
mod takeover;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorstep_model::{App, AppName, Finding, Job};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::event::{AppStatus, Event, JobStatus};
use crate::journal::Journal;
use crate::machine::{Generation, Number};
use crate::output::Logs;
use crate::prepare::Prepared;
use crate::process::{Exit, Unit, reap_strays};
use crate::supervisor::SuperviseError;
use crate::{Options, SpawnError, findings, limits, run_dir, tmp};
use app::AppState;
use job::JobState;

pub(crate) enum Command {
    Apply(Vec<App>, Vec<Job>),
    Restart(String, oneshot::Sender<bool>),
    RunJob(String, oneshot::Sender<bool>),
    StopAll(oneshot::Sender<()>),
    Drained { app: String, instance: String },
    Status(oneshot::Sender<Vec<AppStatus>>),
    Jobs(oneshot::Sender<Vec<JobStatus>>),
    HandOver(oneshot::Sender<Result<(), SuperviseError>>),
    Resume,
}

/// What tasks report.
enum Input {
    Spawned {
        app: String,
        number: Number,
        result: Result<(Unit, Vec<Finding>), SpawnError>,
    },
    Ready {
        app: String,
        number: Number,
    },
    Ended {
        app: String,
        number: Number,
        exit: Exit,
    },
    /// Nothing of it is left.
    Gone {
        app: String,
        number: Number,
    },
    Prepared {
        app: String,
        generation: Generation,
        result: Box<Result<Prepared, Finding>>,
    },
    Changed {
        app: String,
    },
    WatchFailed {
        app: String,
        what: String,
    },
    JobSpawned {
        job: String,
        number: Number,
        result: Result<Unit, SpawnError>,
    },
    JobOver {
        job: String,
        number: Number,
        exit: Exit,
        timed_out: bool,
    },
    OrphansEnded(usize),
}

pub(crate) struct Manager {
    options: Options,
    events: mpsc::UnboundedSender<Event>,
    logs: Logs,
    journal: Journal,
    journal_dirty: bool,
    journal_failed: bool,
    inputs: mpsc::UnboundedSender<Input>,
    reports: mpsc::UnboundedReceiver<Input>,
    apps: BTreeMap<String, AppState>,
    jobs: BTreeMap<String, JobState>,
    /// The first definition was applied, and what was left behind was taken over or is being ended.
    taken_over: bool,
    orphans_ended: bool,
    /// Between a hand-over and what comes of it, nothing is done.
    handed_over: bool,
    stopping: Vec<oneshot::Sender<()>>,
}

impl Manager {
    pub fn new(options: Options, events: mpsc::UnboundedSender<Event>, logs: Logs) -> Result<Self, SuperviseError> {
        let fail = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| SuperviseError::Io { path, source }
        };
        doorstep_store::make_private_dir(&options.state_dir).map_err(fail(&options.state_dir))?;
        tmp::make_base(&options.state_dir).map_err(fail(&options.state_dir))?;
        run_dir::make_base(&options.run_dir).map_err(fail(&options.run_dir))?;
        let journal = Journal::read(&options.state_dir).map_err(fail(&options.state_dir.join("apps.json")))?;
        let (inputs, reports) = mpsc::unbounded_channel();
        Ok(Self {
            options,
            events,
            logs,
            journal,
            journal_dirty: false,
            journal_failed: false,
            inputs,
            reports,
            apps: BTreeMap::new(),
            jobs: BTreeMap::new(),
            taken_over: false,
            orphans_ended: false,
            handed_over: false,
            stopping: Vec::new(),
        })
    }

    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let reaper = tokio::spawn(reap_strays());
        loop {
            let wake = self.next_wake();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
                Some(input) = self.reports.recv(), if !self.handed_over => self.input(input),
                () = tokio::time::sleep_until(wake.into()), if !self.handed_over => {}
            }
            if !self.handed_over {
                self.advance();
            }
        }
        reaper.abort();
    }

    fn next_wake(&self) -> Instant {
        let machines = self.apps.values().filter_map(|app| app.machine.next_wake());
        let jobs = self.jobs.values().filter_map(|job| job.wake()).min();
        // Wall-clock times are looked at again and again: the clock may be set, the computer may sleep.
        let jobs = jobs.map(|wait| Instant::now() + wait.min(limits::CLOCK_LOOK));
        machines.chain(jobs).min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Apply(apps, jobs) => self.apply(apps, jobs),
            Command::Restart(name, reply) => {
                let found = self.apps.get_mut(&name).map(AppState::restart);
                let _ = reply.send(found.is_some());
            }
            Command::RunJob(name, reply) => {
                let found = self.jobs.contains_key(&name);
                if found {
                    self.start_job(&name, Timestamp::now());
                }
                let _ = reply.send(found);
            }
            Command::StopAll(reply) => {
                let now = Instant::now();
                self.apps.values_mut().for_each(|app| app.stop(false, now));
                self.jobs.values_mut().for_each(JobState::stop);
                self.stopping.push(reply);
            }
            Command::Drained { app, instance } => {
                if let Some(app) = self.apps.get_mut(&app) {
                    app.drained(&instance, Instant::now());
                }
            }
            Command::Status(reply) => drop(reply.send(self.app_statuses())),
            Command::Jobs(reply) => drop(reply.send(self.jobs.values().map(JobState::status).collect())),
            Command::HandOver(reply) => drop(reply.send(self.hand_over().await)),
            Command::Resume => self.resume(),
        }
    }

    fn apply(&mut self, apps: Vec<App>, jobs: Vec<Job>) {
        if !self.taken_over {
            self.take_over(&apps, &jobs);
        }
        let now = Instant::now();
        for (name, state) in &mut self.apps {
            if !apps.iter().any(|app| app.name.0 == *name) {
                state.stop(true, now);
            }
        }
        for app in apps {
            self.apply_app(app, &[], now);
        }
        self.apply_jobs(jobs);
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Spawned { app, number, result } => self.spawned(&app, number, result),
            Input::Ready { app, number } => self.ready(&app, number),
            Input::Ended { app, number, exit } => self.ended(&app, number, exit),
            Input::Gone { app, number } => self.gone(&app, number),
            Input::Prepared { app, generation, result } => self.prepared(&app, generation, *result),
            Input::Changed { app } => {
                if let Some(state) = self.apps.get_mut(&app)
                    && state.app.watch
                {
                    state.log.line("doorstep", "files changed: restarting");
                    state.restart();
                }
            }
            Input::WatchFailed { app, what } => {
                let what = format!("The files of {app} cannot be watched: {what}.");
                let fix = "Raise the limit: `sysctl fs.inotify.max_user_watches=524288`.";
                self.report(findings::environment(
                    "app-watch-failed",
                    what,
                    "It is not restarted when they change.",
                    fix,
                ));
            }
            Input::JobSpawned { job, number, result } => self.job_spawned(&job, number, result),
            Input::JobOver { job, number, exit, timed_out } => self.job_over(&job, number, exit, timed_out),
            Input::OrphansEnded(count) => {
                self.orphans_ended = true;
                if count > 0 {
                    self.report(findings::orphans_ended(count));
                }
            }
        }
    }

    /// Lets everything that is due happen.
    fn advance(&mut self) {
        if self.orphans_ended {
            self.allow();
            self.run_due_jobs();
        }
        self.step_apps();
        self.write_journal();
        let settled = self.orphans_ended || !self.taken_over;
        if settled && self.apps.is_empty() && self.jobs.values().all(JobState::is_idle) {
            for waiter in self.stopping.drain(..) {
                let _ = waiter.send(());
            }
        }
    }

    /// Start order: an app may start when all that it comes after is up, or is not there.
    fn allow(&mut self) {
        let up: Vec<(String, bool)> =
            self.apps.iter().map(|(name, state)| (name.clone(), state.machine.is_up())).collect();
        let is_up = |name: &AppName| up.iter().find(|(other, _)| *other == name.0).is_none_or(|(_, up)| *up);
        for state in self.apps.values_mut() {
            if state.app.after.iter().all(is_up) {
                state.machine.allow();
            }
        }
    }

    fn write_journal(&mut self) {
        if !std::mem::take(&mut self.journal_dirty) {
            return;
        }
        match self.journal.write(&self.options.state_dir) {
            Ok(()) => self.journal_failed = false,
            // Once is enough. What is not written down is still found by its mark.
            Err(_) if self.journal_failed => self.journal_dirty = true,
            Err(error) => {
                self.journal_dirty = true;
                self.journal_failed = true;
                let what = format!(
                    "The list of running apps cannot be written to {}: {error}.",
                    self.options.state_dir.display()
                );
                let why = "After a crash of doorstep, apps that should go on would be ended.";
                self.report(findings::environment(
                    "journal-not-written",
                    what,
                    why,
                    "See that there is room on the disk.",
                ));
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: we end soon.
        let _ = self.events.send(event);
    }

    fn report(&self, finding: Finding) {
        self.tell(Event::Finding(finding));
    }
}

fn random() -> u64 {
    let mut bytes = [0u8; 8];
    // Without randomness, everything is merely less spread.
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}
