//! Apps, as the supervisor sees them: their instances go to the workers, what happens to them to the person.

use std::sync::Arc;

use doorstep_supervise as supervise;
use doorstep_supervise::Event as AppEvent;
use tokio::sync::mpsc;

use super::workers::Worker;
use super::{Event, Options, Supervisor};
use crate::exit::{Code, Failure};
use crate::up::link::{Instance, ToWorker};

/// Starts the part that runs apps. Its events come as [`Event::App`].
pub fn supervisor(options: &Options, events: &mpsc::UnboundedSender<Event>) -> Result<supervise::Supervisor, Failure> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let events = events.clone();
    tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            if events.send(Event::App(event)).is_err() {
                return;
            }
        }
    });
    let dirs = &options.dirs;
    let settings = supervise::Options {
        state_dir: dirs.state.clone(),
        run_dir: dirs.run.clone(),
        log_dir: dirs.logs.clone(),
        worker_group: options.worker_user.map(|(_, gid)| gid),
        spawn: Arc::new(supervise::SandboxSpawn::new(super::OURSELVES.into())),
    };
    supervise::Supervisor::new(settings, sender)
        .map_err(|error| Failure::new(Code::Failed, format!("apps cannot be run: {error}")).fix(error.fix()))
}

impl Supervisor {
    pub(super) fn app_event(&mut self, event: AppEvent) {
        match event {
            AppEvent::Members { app, members } => {
                let members: Vec<Instance> = members
                    .iter()
                    .map(|one| Instance { id: one.id.clone(), addr: (&one.addr).into(), draining: one.draining })
                    .collect();
                self.tell_changes(&app, &members);
                for worker in &self.workers {
                    worker.send(ToWorker::members(&app, members.clone()));
                }
                self.members.insert(app, members);
            }
            AppEvent::Static { app, files } => {
                let files = files.map(|files| (files.path, files.dir));
                for worker in &self.workers {
                    worker.send(ToWorker::StaticFiles { app: app.0.clone(), files: files.clone() });
                }
                match files {
                    Some(files) => self.statics.insert(app, files),
                    None => self.statics.remove(&app),
                };
            }
            AppEvent::Finding(finding) => self.finding(&finding),
        }
    }

    /// A worker has nothing in flight any more on an instance that is to go. It may go when no worker has.
    pub(super) fn drained(&mut self, worker: u64, app: String, instance: String) {
        self.drained.entry((app, instance)).or_default().push(worker);
        self.let_drained_go();
    }

    /// Lets instances go that every living worker is done with.
    pub(super) fn let_drained_go(&mut self) {
        let workers: Vec<u64> = self.workers.iter().map(|worker| worker.id).collect();
        let apps = &self.apps;
        self.drained.retain(|(app, instance), done| {
            let all = workers.iter().all(|worker| done.contains(worker));
            if all {
                apps.drained(app, instance);
            }
            !all
        });
    }

    /// What a worker that begins has to know of the apps.
    pub(super) fn tell_members(&self, worker: &Worker) {
        for (app, members) in &self.members {
            worker.send(ToWorker::members(app, members.clone()));
        }
        for (app, files) in &self.statics {
            worker.send(ToWorker::StaticFiles { app: app.0.clone(), files: Some(files.clone()) });
        }
    }

    fn tell_changes(&self, app: &doorstep_model::AppName, members: &[Instance]) {
        if self.counts.upgrades > 0 && !self.members.contains_key(app) {
            // Instances that the program before had made known.
            return;
        }
        let none = Vec::new();
        let before = self.members.get(app).unwrap_or(&none);
        let serving = |list: &[Instance]| list.iter().filter(|one| !one.draining).map(|one| one.id.clone()).collect();
        let (old, new): (Vec<String>, Vec<String>) = (serving(before), serving(members));
        for id in new.iter().filter(|id| !old.contains(id)) {
            self.options.voice.say(&format!("App {app}: instance {id} is ready."));
        }
        if new.is_empty() && !old.is_empty() {
            self.options.voice.say(&format!("App {app}: no instance is ready."));
        }
    }
}
