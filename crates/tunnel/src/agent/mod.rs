//! doorstep's own agent: lends targets through a relay, and stays with it.
//!
//! A *keeper* keeps one *session* with one of the relays; a session is a control connection and data connections, each of
//! which lives in one thread with its streams and the apps that they lead to.

mod backoff;
mod board;
mod claims;
mod data;
mod dial;
mod greet;
mod join;
mod keeper;
mod links;
mod metered;
mod prober;
mod session;
mod shared;
mod threads;
mod visit;
mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::identity::AgentIdentity;
use crate::{AgentEvent, Target};
use board::Board;
pub use board::{AgentStatus, TargetStatus};
pub use dial::{DialError, Proxy};
pub use join::{JoinError, join, read as read_invitation};
use keeper::Keeper;
pub use prober::{ProbeError, Probed, Prober};
use shared::{Core, Relay};
pub use threads::Threads;

/// What an agent is to do.
pub struct AgentOptions {
    /// The relays, in the order of preference: the next is taken when one fails.
    pub relays: Vec<AgentIdentity>,
    pub targets: Vec<Target>,
    pub threads: Threads,
    /// Program and version, for the relay's list of agents.
    pub software: String,
    pub proxy: Proxy,
}

/// doorstep's agent.
pub struct Agent;

impl Agent {
    /// Starts an agent. It tells how it fares by `events`, and does not end by itself: what ends it is its handle.
    ///
    /// # Errors
    /// There is no relay, or one whose address is none; or the system gives no threads.
    pub fn start(options: AgentOptions, events: mpsc::UnboundedSender<AgentEvent>) -> io::Result<AgentHandle> {
        let invalid = |error: DialError| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
        let AgentOptions { relays, targets, threads, software, proxy } = options;
        if relays.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an agent needs a relay"));
        }
        let relay = |identity: AgentIdentity| {
            let dialer = dial::Dialer::new(&identity.relay, Some(&identity.domain), identity.pin, proxy.clone());
            Ok(Arc::new(Relay { dialer: dialer.map_err(invalid)?, identity }))
        };
        let relays = relays.into_iter().map(relay).collect::<io::Result<Vec<_>>>()?;
        let (lanes, own) = threads::start(threads)?;
        let board = Arc::new(Board::new(targets.len()));
        let first = lanes.first().map(|lane| lane.handle.clone());
        let core = Arc::new(Core { targets, software, lanes, board: board.clone(), events });
        let (leave, leaving) = watch::channel(None);
        let (running, ended) = watch::channel(());
        if let Some(handle) = first {
            handle.spawn(async move {
                Keeper::new(core, relays).run(leaving).await;
                drop(running);
            });
        }
        Ok(AgentHandle { board, leave, ended, own })
    }
}

/// An agent at work. Dropping it ends the agent; visitors that are there are cut off then.
pub struct AgentHandle {
    board: Arc<Board>,
    leave: watch::Sender<Option<Duration>>,
    ended: watch::Receiver<()>,
    own: Option<threads::Own>,
}

impl AgentHandle {
    pub fn status(&self) -> AgentStatus {
        self.board.status()
    }

    /// Ends it gently: no new visitors, and those that are there have `patience` to finish.
    pub async fn leave(mut self, patience: Duration) {
        self.leave.send_replace(Some(patience));
        let _ = self.ended.changed().await;
        if let Some(own) = self.own.take() {
            let _ = tokio::task::spawn_blocking(move || own.end()).await;
        }
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            own.close();
        }
    }
}
