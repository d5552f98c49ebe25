use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use doorstep_model::{App, AppCommand};
use rustix::fs::Mode;
use tokio::task::JoinHandle;

use super::{Input, Manager};
use crate::definition::definition_hash;
use crate::event::StaticFiles;
use crate::journal::{Addr, Entry};
use crate::machine::{Adopted, Generation, Machine, Number, Shape};
use crate::output::{AppLog, Reader};
use crate::prepare::Prepared;
use crate::process::{Exit, Unit};
use crate::{Identity, SpawnError, findings, run_dir, watch};

/// One app, as far as the machine does not know it.
pub(super) struct AppState {
    pub app: Arc<App>,
    pub hash: String,
    pub machine: Machine,
    pub identity: Identity,
    pub run_dir: PathBuf,
    pub python_dir: PathBuf,
    pub log: Arc<AppLog>,
    pub plans: BTreeMap<Generation, Plan>,
    pub instances: BTreeMap<Number, Running>,
    pub preparing: Option<JoinHandle<()>>,
    pub watching: Option<(PathBuf, JoinHandle<()>)>,
    pub static_files: Option<StaticFiles>,
    pub last_failure: String,
    /// Why an instance could not even be started, and what to do about it; the last one.
    pub refused: (String, String),
    /// What the system could not give, told once.
    pub notes: Vec<String>,
    /// The generation after which unused Python environments were removed.
    pub cleaned: Generation,
}

/// A definition that is prepared, or being prepared.
pub(super) struct Plan {
    pub app: Arc<App>,
    pub hash: String,
    pub identity: Identity,
    pub prepared: Option<Prepared>,
}

/// A process of an app, from before its start until nothing is left of it.
pub(super) struct Running {
    pub id: String,
    pub addr: Addr,
    pub uid: u32,
    /// `None` while it is being started.
    pub unit: Option<Unit>,
    pub reader: Option<Reader>,
    pub fifo: PathBuf,
    pub probe: Option<JoinHandle<()>>,
    pub started: Instant,
    /// We told it to end, or tell it as soon as it runs: SIGTERM, SIGKILL.
    pub doomed: (bool, bool),
    pub exit: Option<Exit>,
    /// How it ended, in words.
    pub how: String,
}

impl AppState {
    pub fn restart(&mut self) {
        self.give_up_preparing();
        self.machine.restart();
        let identity = self.identity.clone();
        let plan = Plan { app: Arc::clone(&self.app), hash: self.hash.clone(), identity, prepared: None };
        self.plans.insert(self.machine.wanted(), plan);
    }

    pub fn stop(&mut self, drain: bool, now: Instant) {
        self.give_up_preparing();
        if let Some((_, task)) = self.watching.take() {
            task.abort();
        }
        self.machine.stop(drain, now);
    }

    pub fn drained(&mut self, id: &str, now: Instant) {
        let number = self.instances.iter().find(|(_, running)| running.id == id).map(|(number, _)| *number);
        if let Some(number) = number {
            self.machine.drained(number, now);
        }
    }

    pub fn is_over(&self) -> bool {
        self.machine.is_over() && self.instances.is_empty()
    }

    pub fn give_up_preparing(&mut self) {
        if let Some(task) = self.preparing.take() {
            task.abort();
        }
        self.machine.unprepare();
    }
}

pub(super) fn instance_id(slot: usize, number: Number) -> String {
    format!("{}-{number}", slot + 1)
}

fn words(path: &Path, error: &std::io::Error) -> SpawnError {
    SpawnError {
        what: format!("its folder {} cannot be made: {error}", path.display()),
        fix: "See that the folder above it can be written, and that there is room on its disk.".to_owned(),
    }
}

fn shape(app: &App) -> Shape {
    Shape {
        instances: app.instances.max(1),
        start_timeout: app.ready.timeout,
        drain: app.drain,
        stop_grace: app.stop_grace,
    }
}

impl Manager {
    /// Makes a definition the wanted one. `adopted`: what runs of it already, from before this supervisor.
    pub(super) fn apply_app(&mut self, app: App, adopted: &[Entry], now: Instant) {
        let name = app.name.0.clone();
        let hash = definition_hash(&app);
        let (identity, run_dir, python_dir) = match self.places(&app) {
            Ok(places) => places,
            Err(SpawnError { what, fix }) => {
                let what = format!("The app {name} cannot be started: {what}.");
                self.report(findings::environment("app-not-started", what, "It stays as it was.", &fix));
                return;
            }
        };
        let app = Arc::new(app);
        let log = self.logs.app(&name);
        log.set_rotation(&app.log);
        match self.apps.get_mut(&name) {
            Some(state) => {
                let changed = state.hash != hash;
                if changed {
                    state.give_up_preparing();
                }
                state.machine.apply(shape(&app), changed);
                (state.app, state.hash, state.identity) = (Arc::clone(&app), hash.clone(), identity.clone());
                (state.run_dir, state.python_dir) = (run_dir, python_dir);
                if changed {
                    let plan = Plan { app: Arc::clone(&app), hash, identity, prepared: None };
                    state.plans.insert(state.machine.wanted(), plan);
                } else if let Some(plan) = state.plans.get_mut(&state.machine.wanted()) {
                    plan.app = Arc::clone(&app);
                }
            }
            None => {
                let known = |entry: &Entry| Adopted {
                    number: entry.number,
                    slot: entry.slot,
                    ready: entry.ready,
                    current: entry.hash == hash,
                };
                let next = self.journal.next.get(&name).copied().unwrap_or(1);
                let machine = Machine::new(shape(&app), &adopted.iter().map(known).collect::<Vec<_>>(), next, now);
                let plan =
                    Plan { app: Arc::clone(&app), hash: hash.clone(), identity: identity.clone(), prepared: None };
                let state = AppState {
                    app: Arc::clone(&app),
                    hash,
                    plans: BTreeMap::from([(machine.wanted(), plan)]),
                    machine,
                    identity,
                    run_dir,
                    python_dir,
                    log,
                    instances: BTreeMap::new(),
                    preparing: None,
                    watching: None,
                    static_files: None,
                    last_failure: String::new(),
                    refused: (String::new(), String::new()),
                    notes: Vec::new(),
                    cleaned: 0,
                };
                self.apps.insert(name.clone(), state);
            }
        }
        self.watch(&name);
    }

    /// Who runs an app, and the folders that are theirs.
    pub(super) fn places(&self, app: &App) -> Result<(Identity, PathBuf, PathBuf), SpawnError> {
        let identity = self.options.spawn.identity(&app.exec)?;
        let (run, group) = (&self.options.run_dir, self.options.worker_group);
        let run_dir = run_dir::make_app_dir(run, &app.name.0, &identity, group)
            .map_err(|error| words(&run.join("apps").join(&app.name.0), &error))?;
        let python_dir = self.options.state_dir.join("python").join(&app.name.0);
        if let AppCommand::Python(_) = app.command {
            // Its user has its environment here, and the worker serves static files from here.
            if group.is_some() || identity.uid != rustix::process::geteuid().as_raw() {
                run_dir::let_pass(&self.options.state_dir).map_err(|error| words(&self.options.state_dir, &error))?;
            }
            let words = |error: std::io::Error| words(&python_dir, &error);
            run_dir::make_shared_dir(&self.options.state_dir.join("python")).map_err(words)?;
            let group = group.unwrap_or(identity.gid);
            run_dir::make_owned_dir(&python_dir, &identity, group, Mode::from_raw_mode(0o750)).map_err(words)?;
        }
        Ok((identity, run_dir, python_dir))
    }

    fn watch(&mut self, name: &str) {
        let own = vec![self.options.state_dir.clone(), self.options.run_dir.clone(), self.options.log_dir.clone()];
        let Some(state) = self.apps.get_mut(name) else { return };
        let dir = state.app.exec.dir.clone();
        if state.app.watch && state.watching.as_ref().is_some_and(|(watched, _)| *watched == dir) {
            return;
        }
        if let Some((_, task)) = state.watching.take() {
            task.abort();
        }
        if !state.app.watch {
            return;
        }
        let (inputs, app, watched) = (self.inputs.clone(), name.to_owned(), dir.clone());
        let task = tokio::spawn(async move {
            let changed = || drop(inputs.send(Input::Changed { app: app.clone() }));
            if let Err(what) = watch::watch(dir, own, changed).await {
                let _ = inputs.send(Input::WatchFailed { app: app.clone(), what });
            }
        });
        state.watching = Some((watched, task));
    }
}
