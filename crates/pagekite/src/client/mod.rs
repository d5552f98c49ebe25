//! Our agent at a stock front-end.

mod dial;
mod kites;
mod run;
mod secret;
mod session;

use std::sync::Arc;
use std::time::Instant;

use doorstep_model::Pem;
use doorstep_proto::pagekite::{Kite, KiteSecret};
use doorstep_tunnel::{AgentEvent, Target};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use secret::{ENV, SecretError, find_secret};

/// Where to fly kites, and which.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The kite's name: targets without a whole name of their own get it.
    pub domain: String,
    /// In the order of preference: the next is taken when one fails. At most [`crate::limits::MAX_FRONT_ENDS`].
    pub front_ends: Vec<FrontEndAt>,
    pub secret: KiteSecret,
    /// Compress what goes through the tunnel, if the front-end does it as well. Worth it on slow links only.
    pub compress: bool,
    /// What to say of this program.
    pub software: String,
    /// Verify the front-end against these roots instead of those that this computer trusts.
    pub roots: Option<Pem>,
}

/// A front-end's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrontEndAt {
    pub host: String,
    pub port: u16,
    /// Speak TLS with it, and verify its certificate for this name; `None` is in the clear, where everything can be read and
    /// changed on the way. The pagekite.net service has certificates for `frontends.b5p.us`.
    pub tls: Option<String>,
}

impl FrontEndAt {
    /// Port 443, or none, means TLS with a certificate for `host`. Other ports are in the clear, as front-ends of one's own
    /// have them.
    pub fn new(host: &str, port: Option<u16>) -> Self {
        let port = port.unwrap_or(443);
        Self { host: host.to_owned(), port, tls: (port == 443).then(|| host.to_owned()) }
    }
}

impl std::fmt::Display for FrontEndAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A client that runs. Dropped, it ends at once; see [`Self::leave`].
#[derive(Debug)]
pub struct Handle {
    leave: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
    status: Arc<Mutex<Status>>,
}

/// How a client fares.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The front-end where the kites fly now, and since when.
    pub online: Option<(String, Instant)>,
    /// What flies there.
    pub kites: Vec<Kite>,
    /// Streams of visitors that are open.
    pub visitors: usize,
    /// Why it is not online.
    pub last_error: Option<String>,
}

/// Flies kites for `targets`, and comes back for ever when the front-end goes away; how it fares is told by `events`. Must
/// be called within a runtime.
pub fn start(options: ClientOptions, targets: Vec<Target>, events: mpsc::UnboundedSender<AgentEvent>) -> Handle {
    let (leave, leaving) = watch::channel(false);
    let status = Arc::new(Mutex::new(Status::default()));
    let task = tokio::spawn(run::run(options, targets, events, leaving, status.clone()));
    Handle { leave, task: Some(task), status }
}

impl Handle {
    /// Says good-bye: visitors may finish within [`crate::limits::DRAIN`].
    pub async fn leave(mut self) {
        let _ = self.leave.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }

    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
