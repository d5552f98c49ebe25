//! The supervisor: binds ports and keeps them, runs apps, keeps a worker alive, and does what it is asked over the control
//! socket. It never reads a byte from the network.

mod answers;
mod apps;
pub mod configuration;
mod greeting;
pub mod handover;
mod inquiries;
mod journal;
mod process;
mod reload;
mod sockets;
mod stamps;
pub mod status;
mod upgrade;
mod watchdog;
mod workers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use doorstep_config::Sources;
use doorstep_model::{AppName, Backoff, Finding, Spec};
use doorstep_store::StateDir;
use doorstep_supervise as supervise;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::configuration::Written;
use self::handover::Handover;
use self::journal::JournalKeeper;
use self::sockets::Sockets;
use self::stamps::Stamps;
use self::workers::{Phase, Worker};
use super::dirs::Dirs;
use super::link::{FromWorker, Instance, ToWorker};
use super::signals::{self, Order};
use super::voice::Voice;
use super::{notify, shape};
use crate::control::protocol::Found;
use crate::control::server::{Inquiry, Server};
use crate::exit::{Code, Failure, cause};
use crate::limits::{
    FILES_LOOKED_AT, JOURNAL_FLUSH, REMEMBERED_FINDINGS, WORKER_ASKED, WORKER_RAN_WELL, WORKER_RESTART, WORKER_START,
};

/// Everything that happens to a supervisor.
pub enum Event {
    Worker {
        id: u64,
        message: Box<FromWorker>,
    },
    WorkerEnded {
        id: u64,
        how: String,
    },
    App(supervise::Event),
    Order(Order),
    Inquiry(Inquiry),
    /// A worker's change is in the journal, or is not.
    Recorded {
        worker: u64,
        ticket: u64,
        outcome: Result<u64, String>,
    },
}

/// How it was started.
pub struct Options {
    pub config: Written,
    pub dirs: Dirs,
    /// Who the worker becomes: uid and gid, when this is root.
    pub worker_user: Option<(u32, u32)>,
    /// The program to start workers from.
    pub binary: PathBuf,
    pub voice: Voice,
}

/// The running program, also after its file was replaced.
pub const OURSELVES: &str = "/proc/self/exe";

/// What there is to begin with.
pub enum Begin {
    Fresh(Sources, Spec),
    TakeOver(Box<Handover>, Spec),
}

impl Begin {
    /// Reads the configuration.
    ///
    /// # Errors
    /// What is wrong with it, all of it.
    pub fn fresh(config: &Written, voice: &Voice) -> Result<Self, Failure> {
        configuration::load(config, voice).map(|(sources, spec)| Self::Fresh(sources, spec))
    }

    /// Understands what another program left.
    ///
    /// # Errors
    /// The configuration in force means nothing to this program.
    pub fn take_over(handover: Handover) -> Result<Self, Failure> {
        let spec = configuration::parse(&handover.sources, configuration::privileges())?;
        Ok(Self::TakeOver(Box::new(handover), spec))
    }

    pub fn spec(&self) -> &Spec {
        match self {
            Self::Fresh(_, spec) | Self::TakeOver(_, spec) => spec,
        }
    }
}

/// What the supervisor knows and owns.
pub struct Supervisor {
    options: Options,
    state: StateDir,
    sources: Sources,
    spec: Spec,
    generation: u64,
    sockets: Sockets,
    workers: Vec<Worker>,
    next_worker: u64,
    restart: Backoff,
    restart_at: Option<Instant>,
    apps: supervise::Supervisor,
    members: BTreeMap<AppName, Vec<Instance>>,
    statics: BTreeMap<AppName, (String, PathBuf)>,
    /// App and instance to the workers that are done with it.
    drained: HashMap<(String, String), Vec<u64>>,
    findings: VecDeque<(SystemTime, Found)>,
    questions: answers::Questions,
    cpu: status::CpuMarks,
    /// Somebody asked to stop while something was waited for.
    hurry: bool,
    /// Which folders the serving worker was let into.
    folders: shape::Identities,
    /// Files that changed into something that could not be used.
    refused: Option<Sources>,
    /// What the files that the configuration names looked like.
    stamps: Stamps,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    counts: Counts,
    journal: JournalKeeper,
    began: SystemTime,
}

/// What `doorstep status` and the metrics count.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub worker_restarts: u64,
    pub reloads: u64,
    pub upgrades: u64,
}

/// Runs until it is told to stop.
///
/// # Errors
/// Why it could not start.
pub async fn run(options: Options, begin: Begin) -> Result<ExitCode, Failure> {
    let took_over = matches!(begin, Begin::TakeOver(..));
    let mut supervisor = match begin {
        Begin::TakeOver(handover, spec) => Supervisor::take_over(options, *handover, spec).await?,
        Begin::Fresh(sources, spec) => Supervisor::start(options, sources, spec).await?,
    };
    let _server = supervisor.listen()?;
    supervisor.greet(took_over);
    Ok(supervisor.main_loop().await)
}

impl Supervisor {
    /// Everything from nothing: configuration, ports, worker, apps.
    async fn start(options: Options, sources: Sources, spec: Spec) -> Result<Self, Failure> {
        options.dirs.make(options.worker_user)?;
        let state = StateDir::open(&options.dirs.state)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()).fix(error.fix()))?;
        let mut sockets = Sockets::default();
        sockets.take_over(notify::inherited_sockets());
        let notes = sockets
            .bind(&shape::listeners(&spec), threads(&spec))
            .map_err(|error| crate::port::explain_configured(&error))?;
        let (sender, events) = mpsc::unbounded_channel();
        signals::listen(sender.clone()).map_err(|error| no_signals(&error))?;
        let apps = apps::supervisor(&options, &sender)?;
        let mut supervisor = Self {
            state,
            sources,
            spec,
            generation: 1,
            sockets,
            workers: Vec::new(),
            next_worker: 1,
            restart: Backoff::new(WORKER_RESTART.0, WORKER_RESTART.1),
            restart_at: None,
            apps,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            drained: HashMap::new(),
            findings: VecDeque::new(),
            questions: answers::Questions::default(),
            cpu: status::CpuMarks::default(),
            hurry: false,
            refused: None,
            stamps: Stamps::default(),
            folders: Vec::new(),
            events,
            journal: JournalKeeper::start(options.dirs.state.clone(), sender.clone()),
            sender,
            counts: Counts::default(),
            began: SystemTime::now(),
            options,
        };
        for note in &notes {
            supervisor.finding(note);
        }
        supervisor.apps.apply(supervisor.spec.apps.clone(), supervisor.spec.jobs.clone());
        let binary = supervisor.options.binary.clone();
        let id = supervisor.spawn_worker(&binary)?;
        if let Err(problem) = supervisor.ready(id).await {
            supervisor.apps.stop_all().await;
            return Err(Failure::new(Code::Failed, "the worker could not start").because(problem));
        }
        let names: Vec<AppName> = supervisor.spec.apps.iter().map(|app| app.name.clone()).collect();
        supervisor.apps_settled(&names).await;
        Ok(supervisor)
    }

    async fn main_loop(&mut self) -> ExitCode {
        let mut asked = interval(WORKER_ASKED);
        asked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = interval(FILES_LOOKED_AT);
        looked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let restart = self.restart_at;
            tokio::select! {
                Some(event) = self.events.recv() => {
                    if let Some(code) = self.handle(event).await {
                        return code;
                    }
                }
                () = tokio::time::sleep_until(restart.unwrap_or_else(Instant::now).into()), if restart.is_some() => {
                    self.restart_at = None;
                    self.replace_crashed();
                }
                _ = asked.tick() => self.watch_worker().await,
                _ = looked.tick() => self.look_at_files().await,
            }
        }
    }

    /// What happened, at top level, where a reload or an upgrade may take its time.
    async fn handle(&mut self, event: Event) -> Option<ExitCode> {
        match event {
            Event::Order(Order::Reload) => {
                let _ = self.reload().await;
            }
            Event::Order(Order::Upgrade) => {
                let _ = self.upgrade(None).await;
            }
            Event::Order(Order::Reopen) => self.workers.iter().for_each(|worker| worker.send(ToWorker::ReopenLogs)),
            Event::Order(Order::Stop) => return Some(self.stop().await),
            Event::Inquiry(inquiry) => return self.answer(inquiry).await,
            other => self.notice(other),
        }
        None
    }

    /// What happened to workers and apps: noticed at once, also in the middle of a reload.
    fn notice(&mut self, event: Event) {
        match event {
            Event::Worker { id, message } => self.heard(id, *message),
            Event::WorkerEnded { id, how } => self.worker_ended(id, &how),
            Event::App(event) => self.app_event(event),
            Event::Recorded { worker, ticket, outcome } => {
                if let Some(worker) = self.workers.iter().find(|one| one.id == worker) {
                    worker.send(ToWorker::Recorded { ticket, outcome });
                }
            }
            Event::Order(_) | Event::Inquiry(_) => {}
        }
    }

    /// Notices what happens until `done` has something to say, at most for `most`. Orders and inquiries wait meanwhile.
    async fn until<T>(&mut self, most: Duration, mut done: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let deadline = tokio::time::Instant::now() + most;
        let mut waiting = Vec::new();
        let result = loop {
            if let Some(result) = done(self) {
                break Some(result);
            }
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event @ (Event::Order(_) | Event::Inquiry(_)))) => {
                    let stop = matches!(event, Event::Order(Order::Stop));
                    waiting.push(event);
                    if stop {
                        self.hurry = true;
                        break done(self);
                    }
                }
                Ok(Some(event)) => self.notice(event),
                _ => break None,
            }
        };
        for event in waiting {
            let _ = self.sender.send(event);
        }
        result
    }

    fn heard(&mut self, id: u64, message: FromWorker) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) else { return };
        worker.heard = Instant::now();
        match message {
            FromWorker::Ready { .. } => {
                worker.phase = Phase::Serving;
                // Of two, the one that takes over leads when the other drains.
                if self.workers.iter().filter(|worker| worker.phase == Phase::Serving).count() == 1 {
                    self.lead();
                }
            }
            FromWorker::Failed { problem } => {
                self.questions.failed(id, problem);
            }
            FromWorker::AcceptsNoMore => worker.accepts = false,
            FromWorker::Configured { generation, problem } => self.questions.configured(id, generation, problem),
            FromWorker::Drained { app, instance } => self.drained(id, app, instance),
            FromWorker::Found(found) => self.found(&found),
            FromWorker::Told { text } => self.options.voice.say(&text),
            FromWorker::Answer { id: question, value } => self.questions.answered(question, value),
            FromWorker::Record { ticket, change } => self.journal.record(id, ticket, change),
            FromWorker::Undone { id } => self.journal.undone(id),
        }
    }

    /// A worker came to its end: as it should after a drain, or by a crash, and then there must be another.
    fn worker_ended(&mut self, id: u64, how: &str) {
        let Some(at) = self.workers.iter().position(|worker| worker.id == id) else { return };
        let worker = self.workers.remove(at);
        self.questions.ended(id, how);
        self.let_drained_go();
        if worker.phase != Phase::Serving || self.serving().is_some() {
            return;
        }
        self.counts.worker_restarts += 1;
        self.finding(&watchdog::crashed(how));
        if worker.started.elapsed() > WORKER_RAN_WELL {
            self.restart.reset();
        }
        self.restart_at = Some(Instant::now() + self.restart.next(watchdog::random()));
    }

    /// Starts a worker by the configuration in force.
    fn spawn_worker(&mut self, binary: &std::path::Path) -> Result<u64, Failure> {
        self.folders = shape::Shape::of(&self.spec, &self.options.dirs).identities();
        let sockets = self.sockets.list();
        let fds: Vec<_> = sockets.iter().map(|socket| socket.fd).collect();
        let id = self.next_worker;
        self.next_worker += 1;
        let worker = Worker::spawn(id, self.generation, binary, &fds, &self.sender).map_err(|error| {
            Failure::new(Code::Failed, format!("{} cannot be started: {}", binary.display(), cause(&error)))
        })?;
        worker.send(ToWorker::Start(Box::new(self.start_message(sockets))));
        self.tell_members(&worker);
        self.workers.push(worker);
        Ok(id)
    }

    /// Waits until a worker serves.
    async fn ready(&mut self, id: u64) -> Result<(), String> {
        let ready = self
            .until(WORKER_START, |this| {
                if let Some(problem) = this.questions.problem(id) {
                    return Some(Err(problem));
                }
                match this.workers.iter().find(|worker| worker.id == id) {
                    Some(worker) => (worker.phase == Phase::Serving).then_some(Ok(())),
                    None => Some(Err("it ended".to_owned())),
                }
            })
            .await;
        let outcome = ready.unwrap_or_else(|| Err(format!("it was not ready within {} s", WORKER_START.as_secs())));
        if outcome.is_err()
            && let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id)
        {
            // Its end is expected now.
            worker.phase = Phase::Draining;
            worker.kill();
        }
        outcome
    }

    fn serving(&self) -> Option<&Worker> {
        self.workers.iter().rev().find(|worker| worker.phase == Phase::Serving)
    }

    fn finding(&mut self, finding: &Finding) {
        self.found(&Found::new(finding, 0));
    }

    /// Tells the person, and remembers for `doorstep status`.
    fn found(&mut self, found: &Found) {
        self.options.voice.finding(found);
        self.findings.retain(|(_, known)| known.id != found.id || known.what != found.what);
        if self.findings.len() >= REMEMBERED_FINDINGS {
            self.findings.pop_front();
        }
        self.findings.push_back((SystemTime::now(), found.clone()));
    }

    /// The control socket's requests, as events.
    fn listen(&self) -> Result<Server, Failure> {
        let path = self.options.dirs.control();
        let sender = self.sender.clone();
        Server::start(&path, move |inquiry| {
            let _ = sender.send(Event::Inquiry(inquiry));
        })
        .map_err(|error| {
            Failure::new(
                Code::Failed,
                format!("the control socket {} cannot be made: {}", path.display(), cause(&error)),
            )
        })
    }

    /// Lets everything finish, within its time.
    async fn stop(&mut self) -> ExitCode {
        notify::stopping();
        self.options.voice.say("Stopping: what is in flight may finish.");
        let most = self.spec.daemon.deadlines.stop;
        self.hurry = false;
        for worker in &mut self.workers {
            worker.drain(most.as_secs(), true);
        }
        let hurried = self
            .until(most + Duration::from_secs(1), |this| (this.workers.is_empty() || this.hurry).then_some(()))
            .await
            .is_none();
        let hurried = hurried || !self.workers.is_empty();
        self.workers.iter().for_each(Worker::kill);
        self.apps.stop_all().await;
        self.journal.flush(JOURNAL_FLUSH);
        let _ = std::fs::remove_file(self.options.dirs.control());
        self.options.voice.say(if hurried { "Stopped; what took too long was cut." } else { "Stopped." });
        ExitCode::SUCCESS
    }
}

fn no_signals(error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("signals cannot be received: {}", cause(error)))
}

/// Threads of the data plane.
pub fn threads(spec: &Spec) -> usize {
    spec.daemon.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}
