use std::io;
use std::path::PathBuf;

use doorstep_model::{App, Blame, Job};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::manager::{Command, Manager};
use crate::output::Logs;
use crate::{AppStatus, Event, JobStatus, Options};

/// Runs apps. A cheap handle on a task that ends when the last handle is dropped; the apps themselves do not end then (that is
/// [`Supervisor::stop_all`]).
#[derive(Clone)]
pub struct Supervisor {
    commands: mpsc::UnboundedSender<Command>,
    logs: Logs,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    #[error("there is no app or job {0:?}")]
    Unknown(String),
    #[error("the supervisor has ended")]
    Ended,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl SuperviseError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unknown(_) => Blame::Client,
            Self::Ended => Blame::Doorstep,
            Self::Io { .. } => Blame::Environment,
        }
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "`doorstep status` lists the apps and jobs.",
            Self::Ended => "",
            Self::Io { .. } => "See that the folder exists, and that there is room on its disk.",
        }
    }
}

impl Supervisor {
    /// Makes the folders and starts the task, on the current Tokio runtime. What an earlier supervisor left running is taken over
    /// or ended by the first [`Supervisor::apply`].
    ///
    /// # Errors
    /// [`SuperviseError::Io`] where a folder cannot be made or the journal cannot be read.
    pub fn new(options: Options, events: mpsc::UnboundedSender<Event>) -> Result<Self, SuperviseError> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let logs = Logs::start(&options.log_dir)
            .map_err(|source| SuperviseError::Io { path: options.log_dir.clone(), source })?;
        let manager = Manager::new(options, events, logs.clone())?;
        tokio::spawn(manager.run(receiver));
        Ok(Self { commands, logs })
    }

    /// What should run from now on. An app that is as before is not touched; one with another definition is replaced instance by
    /// instance, new ones ready first; one that is missing is drained and stopped.
    pub fn apply(&self, apps: Vec<App>, jobs: Vec<Job>) {
        let _ = self.commands.send(Command::Apply(apps, jobs));
    }

    /// Replaces the instances of an app one by one, each new one ready before the old one is drained. Returns when it is under way.
    ///
    /// # Errors
    /// [`SuperviseError::Unknown`].
    pub async fn restart(&self, app: &str) -> Result<(), SuperviseError> {
        let found = self.ask(|reply| Command::Restart(app.to_owned(), reply)).await?;
        if found { Ok(()) } else { Err(SuperviseError::Unknown(app.to_owned())) }
    }

    /// Runs a job now, unless it is running. Returns when it has started.
    ///
    /// # Errors
    /// [`SuperviseError::Unknown`].
    pub async fn run_job(&self, job: &str) -> Result<(), SuperviseError> {
        let found = self.ask(|reply| Command::RunJob(job.to_owned(), reply)).await?;
        if found { Ok(()) } else { Err(SuperviseError::Unknown(job.to_owned())) }
    }

    /// Ends all apps and jobs, each with its grace, and returns when no process of theirs is left.
    pub async fn stop_all(&self) {
        let _ = self.ask(Command::StopAll).await;
    }

    /// Nothing is in flight on this draining instance any more.
    pub fn drained(&self, app: &str, instance: &str) {
        let _ = self.commands.send(Command::Drained { app: app.to_owned(), instance: instance.to_owned() });
    }

    pub async fn status(&self) -> Vec<AppStatus> {
        self.ask(Command::Status).await.unwrap_or_default()
    }

    pub async fn jobs(&self) -> Vec<JobStatus> {
        self.ask(Command::Jobs).await.unwrap_or_default()
    }

    /// Before this program replaces itself (`execve`, same process): writes the journal so that the next supervisor takes all
    /// instances over as they are, and lets go of them. Nothing is started or stopped from here on.
    ///
    /// # Errors
    /// [`SuperviseError::Io`]: the journal could not be written; everything goes on as before.
    pub async fn hand_over(&self) -> Result<(), SuperviseError> {
        self.ask(Command::HandOver).await?
    }

    /// After a [`Supervisor::hand_over`] that came to nothing (the `execve` failed): goes on as before.
    pub fn resume(&self) {
        let _ = self.commands.send(Command::Resume);
    }

    /// The last lines of an app's or job's output. Reads a file: call it where waiting for a disk is fine.
    ///
    /// # Errors
    /// [`SuperviseError::Unknown`] where there was no output ever; [`SuperviseError::Io`].
    pub fn logs(&self, name: &str, lines: usize) -> Result<Vec<String>, SuperviseError> {
        self.logs.last(name, lines)
    }

    /// Lines of an app's or job's output as they come.
    pub fn follow(&self, name: &str) -> broadcast::Receiver<String> {
        self.logs.follow(name)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, SuperviseError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| SuperviseError::Ended)?;
        answer.await.map_err(|_| SuperviseError::Ended)
    }
}
