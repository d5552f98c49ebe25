//! `doorstep upgrade`: a new binary takes over within the same process, with the same sockets and the same apps.
//!
//! First the new binary's worker has to serve. Then it is asked whether it can read what is left to it; only then this
//! program replaces itself. Whatever goes wrong before that leaves the old worker in its place.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use doorstep_model::{Backoff, Spec};
use doorstep_store::StateDir;
use tokio::sync::mpsc;

use super::handover::{Handover, InheritedWorker, VARIABLE};
use super::journal::JournalKeeper;
use super::process::Process;
use super::sockets::Sockets;
use super::stamps::Stamps;
use super::workers::Worker;
use super::{Options, Supervisor, answers, apps};
use crate::exit::{Code, Failure, cause};
use crate::limits::{HANDOVER_CHECKED, JOURNAL_FLUSH, WORKER_RESTART};
use crate::up::link::PROTOCOL;
use crate::up::{HANDOVER_CHECK, notify, signals};

impl Supervisor {
    /// Lets `binary`, or whatever is now in the place of the program that runs, take over. Returns only if it did not.
    ///
    /// # Errors
    /// Why everything is as it was.
    pub async fn upgrade(&mut self, binary: Option<PathBuf>) -> Result<(), Failure> {
        let binary = match binary {
            Some(binary) => binary,
            None => current_binary(),
        };
        self.options.voice.say(&format!("Upgrading to {}.", binary.display()));
        notify::reloading();
        let failure = match self.try_upgrade(&binary).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        notify::ready();
        self.options.voice.complain("The upgrade changed nothing", &failure);
        Err(failure)
    }

    async fn try_upgrade(&mut self, binary: &Path) -> Result<std::convert::Infallible, Failure> {
        let id = self.spawn_worker(binary)?;
        self.ready(id).await.map_err(|problem| {
            Failure::new(Code::Failed, "the new program's worker could not start").because(problem)
        })?;
        Err(self.replace(binary, id).await)
    }

    /// Replaces this program. Comes back only with the reason why it did not; the new worker has ended then.
    async fn replace(&mut self, binary: &Path, id: u64) -> Failure {
        let Some(at) = self.workers.iter().position(|worker| worker.id == id) else {
            return Failure::new(Code::Failed, "the new program's worker ended");
        };
        let worker = self.workers.remove(at);
        let Some((pid, generation, link, early)) = worker.hand_on().await else {
            return Failure::new(Code::Failed, "the new program's worker ended");
        };
        let handover = Handover {
            protocol: PROTOCOL,
            sockets: self.sockets.hand_on(),
            lock: self.state.lock().as_raw_fd(),
            worker: InheritedWorker::new(id, pid, generation, &link, early),
            draining: self.workers.iter().map(|worker| worker.pid.as_raw_nonzero().get()).collect(),
            next_worker: self.next_worker,
            generation: self.generation,
            sources: self.sources.clone(),
            counts: self.counts,
            began: self.began,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: self.sockets.addresses().into_iter().map(|(asked, _)| asked).collect(),
        };
        let failed =
            |what: &str, error: &std::io::Error| Failure::new(Code::Failed, format!("{what}: {}", cause(error)));
        let left = match handover.write() {
            Ok(left) => left,
            Err(error) => return failed("what the new program needs cannot be left to it", &error),
        };
        if let Err(failure) = check(binary, left.as_raw_fd()).await {
            return failure;
        }
        if let Err(error) = self.apps.hand_over().await {
            return Failure::new(Code::Failed, format!("the apps cannot be handed over: {error}"));
        }
        // From here on the old workers finish what they began; the new program's worker serves already.
        let most = self.spec.daemon.deadlines.handover;
        for worker in &mut self.workers {
            worker.drain(most.as_secs(), false);
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(crate::limits::LAST_WORDS).await;
        signals::hold();
        handover.keep_open(true);
        let left = left.into_raw_fd();
        self.journal.flush(JOURNAL_FLUSH);
        let error = Command::new(binary).args(std::env::args_os().skip(1)).env(VARIABLE, left.to_string()).exec();
        // The old workers were told to go, so this program carries on with the new one's.
        handover.keep_open(false);
        self.apps.resume();
        signals::allow();
        if let Ok(worker) = Worker::inherit(id, generation, pid, link, handover.worker.early, &self.sender) {
            self.workers.push(worker);
        }
        failed(&format!("{} cannot be executed", binary.display()), &error)
    }

    /// The other side: this program was started to take over.
    pub(super) async fn take_over(options: Options, handover: Handover, spec: Spec) -> Result<Self, Failure> {
        let (sender, events) = mpsc::unbounded_channel();
        let state = StateDir::inherited(&options.dirs.state, handover.lock());
        let link = handover.worker.link();
        let failed = |error: std::io::Error| {
            Failure::new(Code::Failed, format!("the worker cannot be taken over: {}", cause(&error)))
        };
        link.set_nonblocking(true).map_err(failed)?;
        let pid = handover.worker.pid().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let InheritedWorker { id, generation, early, .. } = handover.worker;
        let worker = Worker::inherit(id, generation, pid, link, early, &sender).map_err(failed)?;
        for pid in &handover.draining {
            // They only have to be taken off the system's list when they end.
            if let Some(Ok(process)) = rustix::process::Pid::from_raw(*pid).map(Process::of) {
                tokio::spawn(async move { process.ended().await });
            }
        }
        signals::listen(sender.clone()).map_err(|error| super::no_signals(&error))?;
        let apps = apps::supervisor(&options, &sender)?;
        let folders = crate::up::shape::Shape::of(&spec, &options.dirs).identities();
        let mut counts = handover.counts;
        counts.upgrades += 1;
        let supervisor = Self {
            state,
            sources: handover.sources,
            spec,
            generation: handover.generation,
            // SAFETY: the descriptors come from the program before, and nobody else in this one knows of them.
            sockets: unsafe { Sockets::inherit(handover.sockets) },
            workers: vec![worker],
            next_worker: handover.next_worker,
            restart: Backoff::new(WORKER_RESTART.0, WORKER_RESTART.1),
            restart_at: None,
            apps,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            drained: std::collections::HashMap::new(),
            findings: std::collections::VecDeque::new(),
            questions: answers::Questions::default(),
            cpu: super::status::CpuMarks::default(),
            hurry: false,
            refused: None,
            stamps: Stamps::default(),
            folders,
            events,
            journal: JournalKeeper::start(options.dirs.state.clone(), sender.clone()),
            sender,
            counts,
            began: handover.began,
            options,
        };
        supervisor.apps.apply(supervisor.spec.apps.clone(), supervisor.spec.jobs.clone());
        let now = SystemTime::now();
        supervisor.lead();
        supervisor.options.voice.say(&format!(
            "Took over from doorstep {} (running for {} s).",
            handover.version,
            now.duration_since(supervisor.began).unwrap_or_default().as_secs()
        ));
        Ok(supervisor)
    }
}

/// Asks a program whether it can read what is left to it, before there is no way back.
async fn check(binary: &Path, left: i32) -> Result<(), Failure> {
    let mut command = tokio::process::Command::new(binary);
    command.args([HANDOVER_CHECK, &left.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let refused = |why: String| {
        Failure::new(Code::Failed, format!("{} cannot take over from this doorstep", binary.display())).because(why)
    };
    match tokio::time::timeout(HANDOVER_CHECKED, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Ok(Err(error)) => Err(refused(cause(&error))),
        Err(_) => Err(refused(format!("it did not answer within {} s", HANDOVER_CHECKED.as_secs()))),
    }
}

/// The program that is now where this one came from: a package manager replaces the file, and the old one is "(deleted)".
fn current_binary() -> PathBuf {
    let ours = std::env::current_exe().unwrap_or_else(|_| super::OURSELVES.into());
    let text = ours.to_string_lossy();
    PathBuf::from(text.strip_suffix(" (deleted)").unwrap_or(&text))
}
