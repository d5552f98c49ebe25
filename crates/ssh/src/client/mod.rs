//! An agent that lends its targets through anybody's ssh server, by remote forwarding.
//!
//! The system's `ssh` does the work where there is one, so that all of `~/.ssh/config`, the agent and known_hosts count as
//! ever. Where there is none, russh does, with keys of the agent and of `~/.ssh`.

mod builtin;
mod fault;
mod plan;
mod prepare;
mod probe;
mod run;
mod said;
mod session;
mod style;
mod system;
mod urls;
mod visitors;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use doorstep_model::{Secret, Via};
use doorstep_net::{DrainControl, Patience};
use doorstep_tunnel::{AgentEvent, Target};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use fault::Fault;
pub use prepare::prepare;
pub use style::Style;

/// Which server, and how.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub server: Server,
    pub program: Program,
    /// What kind of server it is; `None` to find out.
    pub style: Option<Style>,
    /// The port to ask for, for each target; 0 (or none) for one that stays the same while nobody else has it.
    pub ports: Vec<u16>,
    /// Further arguments for `ssh`, such as `-F FILE`. The built-in client takes none.
    pub arguments: Vec<String>,
}

/// Somebody's ssh server. The host may be an alias of `~/.ssh/config`, which also says what is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// What speaks ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// The system's `ssh`, or, without one, the built-in client.
    Auto,
    /// This `ssh`.
    System(PathBuf),
    Builtin(Builtin),
}

/// Where the built-in client finds keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builtin {
    /// Private keys; empty for those of `~/.ssh` and of the agent.
    pub keys: Vec<Key>,
    pub known_hosts: KnownHosts,
}

/// A private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    File(PathBuf),
    /// Its text, for whoever may read no files.
    Text(Secret<String>),
}

/// Keys of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownHosts {
    /// `~/.ssh/known_hosts`.
    #[default]
    Usual,
    File(PathBuf),
    /// A file's text, for whoever may read no files.
    Text(String),
}

impl ClientOptions {
    pub fn new(server: Server) -> Self {
        Self { server, program: Program::Auto, style: None, ports: Vec::new(), arguments: Vec::new() }
    }

    /// For a way that leads to an ssh server; none for other ways.
    pub fn from_via(via: &Via) -> Option<Self> {
        match via {
            Via::Ssh { user, host, port } => {
                Some(Self::new(Server { user: user.clone(), host: host.clone(), port: *port }))
            }
            _ => None,
        }
    }
}

/// As in `ssh://user@host:port`.
impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user, host, port } = self.clone();
        write!(f, "{}", Via::Ssh { user, host, port })
    }
}

/// How the agent fares now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The session stands.
    pub online: bool,
    /// It is over for good, until somebody does something.
    pub stopped: bool,
    /// Where visitors reach each target; none while they do not.
    pub addresses: Vec<Option<String>>,
    /// What went wrong last.
    pub trouble: Option<String>,
}

/// A running agent. Dropped, it ends without waiting for anybody.
pub struct Handle {
    leaving: watch::Sender<bool>,
    drain: DrainControl,
    status: Arc<Mutex<Status>>,
    task: Option<JoinHandle<()>>,
}

/// Lends `targets` until the handle is dropped or left. Connects again for ever, except after [`AgentEvent::Stopped`].
///
/// Must be called in a tokio runtime with time and IO.
pub fn start(options: ClientOptions, targets: Vec<Target>, events: mpsc::UnboundedSender<AgentEvent>) -> Handle {
    let (leaving, left) = watch::channel(false);
    let (control, drain) = DrainControl::new();
    let status = Arc::new(Mutex::new(Status { addresses: vec![None; targets.len()], ..Status::default() }));
    let agent = run::Agent::new(options, targets, events, drain, status.clone());
    let task = tokio::spawn(agent.run(left));
    Handle { leaving, drain: control, status, task: Some(task) }
}

impl Handle {
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Takes no more visitors, and closes the session once those under way are served, or [`LEAVE`] is over; at once where
    /// `patience` says so.
    ///
    /// [`LEAVE`]: crate::limits::LEAVE
    pub async fn leave(mut self, patience: Patience) {
        self.drain.start(patience);
        let _ = self.leaving.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
