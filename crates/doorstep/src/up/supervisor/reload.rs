//! `doorstep reload`: the new file is checked whole; a bad one changes nothing; a good one swaps in at once.

use std::time::{Duration, Instant};

use doorstep_config::Sources;
use doorstep_model::{App, AppName, Spec};

use super::{Phase, Supervisor, configuration, threads};
use crate::exit::Failure;
use crate::limits::{APP_LOOK, LAST_ACCEPT, NEW_APPS, WORKER_START};
use crate::up::link::ToWorker;
use crate::up::notify;
use crate::up::shape::{self, Shape};

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The file says what it said before.
    Unchanged,
    /// The worker took the new configuration.
    InPlace,
    /// Listeners or folders changed: a new worker took over, and the old one finishes what it began.
    NewWorker,
}

impl Supervisor {
    /// Reads the configuration again and makes it true.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn reload(&mut self) -> Result<Reloaded, Failure> {
        notify::reloading();
        let outcome = match configuration::load(&self.options.config, &self.options.voice) {
            Ok((sources, spec)) => self.become_spec(sources, spec).await,
            Err(failure) => Err(failure),
        };
        notify::ready();
        match &outcome {
            Ok(Reloaded::Unchanged) => self.options.voice.say("Reloaded: nothing changed."),
            Ok(_) => {
                self.counts.reloads += 1;
                self.options.voice.say(&format!("Reloaded (configuration {}).", self.generation));
            }
            Err(failure) => self.options.voice.complain("The reload changed nothing", failure),
        }
        outcome
    }

    /// Own certificate files, htpasswd files, error pages: when one that the configuration names changed, it is read again.
    /// Folders that were replaced by others of the same name are reached by a new worker.
    pub(super) async fn look_at_files(&mut self) {
        self.look_at_folders().await;
        if !self.stamps.may_differ(self.sources.paths()) {
            return;
        }
        let Some(sources) = self.sources.refreshed() else { return };
        if self.refused.as_ref() == Some(&sources) {
            return;
        }
        match configuration::parse(&sources, configuration::privileges()) {
            Ok(spec) => match self.become_spec(sources, spec).await {
                Ok(_) => {
                    self.options.voice.say("A file that the configuration names has changed, and is in force now.")
                }
                Err(failure) => {
                    self.options.voice.complain("A changed file was not taken", &failure);
                    self.refused = self.sources.refreshed();
                }
            },
            Err(failure) => {
                self.options.voice.complain("A changed file was not taken", &failure);
                // Said once.
                self.refused = Some(sources);
            }
        }
    }

    async fn look_at_folders(&mut self) {
        let now = Shape::of(&self.spec, &self.options.dirs).identities();
        if !self.spec.daemon.sandbox || self.folders == now || self.serving().is_none() {
            return;
        }
        match self.new_worker().await {
            Ok(()) => self.options.voice.say("A folder was replaced; a new worker serves it."),
            Err(failure) => self.options.voice.complain("A folder that was replaced cannot be served", &failure),
        }
        // Tried once: what is there then counts as seen.
        self.folders = now;
    }

    async fn become_spec(&mut self, sources: Sources, spec: Spec) -> Result<Reloaded, Failure> {
        if sources == self.sources {
            return Ok(Reloaded::Unchanged);
        }
        let notes = self
            .sockets
            .bind(&shape::listeners(&spec), threads(&spec))
            .map_err(|error| crate::port::explain_configured(&error));
        for note in notes? {
            self.finding(&note);
        }
        self.start_new_apps(&spec).await;
        let before = (self.sources.clone(), self.spec.clone(), self.generation);
        let same_shape = Shape::of(&self.spec, &self.options.dirs) == Shape::of(&spec, &self.options.dirs);
        (self.sources, self.spec) = (sources, spec);
        self.generation += 1;
        let swapped =
            if same_shape && self.serving().is_some() { self.configure().await } else { self.new_worker().await };
        if let Err(failure) = swapped {
            (self.sources, self.spec, self.generation) = (before.0, before.1, self.generation);
            self.sockets.close_others(&shape::listeners(&self.spec));
            self.apps.apply(self.spec.apps.clone(), self.spec.jobs.clone());
            return Err(failure);
        }
        self.sockets.close_others(&shape::listeners(&self.spec));
        self.apps.apply(self.spec.apps.clone(), self.spec.jobs.clone());
        let names: Vec<AppName> = self.spec.apps.iter().map(|app| app.name.clone()).collect();
        self.members.retain(|app, _| names.contains(app));
        self.statics.retain(|app, _| names.contains(app));
        Ok(if same_shape { Reloaded::InPlace } else { Reloaded::NewWorker })
    }

    /// Apps that the new routes need are started before the routes are swapped, and those that it no longer needs stop after.
    async fn start_new_apps(&mut self, spec: &Spec) {
        let is_new = |app: &&App| !self.spec.apps.iter().any(|old| old.name == app.name);
        let new: Vec<App> = spec.apps.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return;
        }
        let names: Vec<AppName> = new.iter().map(|app| app.name.clone()).collect();
        let all = self.spec.apps.iter().cloned().chain(new).collect();
        self.apps.apply(all, self.spec.jobs.clone());
        self.apps_settled(&names).await;
    }

    /// Waits, within bounds, until each app has an instance that is ready, or is known to be in trouble.
    pub(super) async fn apps_settled(&mut self, names: &[AppName]) {
        let deadline = Instant::now() + NEW_APPS;
        let mut waiting: Vec<&AppName> = names.iter().collect();
        let mut told: Vec<(AppName, String)> = Vec::new();
        while Instant::now() < deadline && !self.hurry {
            let serves = |this: &Self, name: &AppName| {
                this.members.get(name).is_some_and(|members| members.iter().any(|one| !one.draining))
            };
            let all = |this: &Self| waiting.iter().all(|name| serves(this, name)).then_some(());
            if self.until(APP_LOOK, all).await.is_some() {
                return;
            }
            let status = self.apps.status().await;
            for app in status.iter().filter(|app| !app.note.is_empty() && waiting.contains(&&app.name)) {
                let note = (app.name.clone(), app.note.clone());
                if !told.contains(&note) {
                    self.options.voice.say(&format!("App {}: {}", app.name, app.note));
                    told.push(note);
                }
            }
            waiting.retain(|name| status.iter().any(|app| app.name == **name && app.last_failure.is_empty()));
        }
    }

    /// Gives the serving worker the configuration in force.
    async fn configure(&mut self) -> Result<(), Failure> {
        let (generation, sources) = (self.generation, Box::new(self.sources.clone()));
        let Some(worker) = self.serving() else { return self.new_worker().await };
        let id = worker.id;
        worker.send(ToWorker::Configure { generation, sources });
        let answered = self.until(WORKER_START, |this| this.questions.configured_as(id, generation)).await;
        match answered {
            Some(None) => {
                if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
                    worker.generation = generation;
                }
                Ok(())
            }
            Some(Some(problem)) => Err(configuration::refused(&problem)),
            None => Err(configuration::refused("the worker did not answer")),
        }
    }

    /// Starts another worker by the configuration in force; when it serves, the one before drains.
    async fn new_worker(&mut self) -> Result<(), Failure> {
        let binary = self.options.binary.clone();
        let id = self.spawn_worker(&binary)?;
        self.ready(id).await.map_err(|problem| configuration::refused(&problem))?;
        let most = self.spec.daemon.deadlines.handover;
        self.drain_others(id, most);
        // Whoever connects after the reload must not meet the configuration before it.
        let alone = |this: &Self| this.workers.iter().all(|worker| worker.id == id || !worker.accepts).then_some(());
        self.until(LAST_ACCEPT, alone).await;
        Ok(())
    }

    pub(super) fn drain_others(&mut self, id: u64, most: Duration) {
        for worker in self.workers.iter_mut().filter(|worker| worker.id != id && worker.phase != Phase::Draining) {
            worker.drain(most.as_secs(), false);
        }
        self.lead();
    }

    /// Tells the serving worker that it is the one.
    pub(super) fn lead(&self) {
        if let Some(worker) = self.serving() {
            worker.send(ToWorker::Lead);
        }
    }
}
