//! Lending to visitors from elsewhere: agents of every kind (a doorstep relay's, ssh, PageKite) under one roof. Used by
//! `share --via` and by `[tunnel]` alike.

mod certificate;
mod keeper;
pub mod known;
mod order;
mod site;
mod status;
#[cfg(test)]
mod tests;
pub mod ways;
pub mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_model::{Lent, UpstreamAddr};
use doorstep_net::BoxFuture;
use doorstep_proto::tunnel::TunnelError;
use doorstep_tunnel::{AgentEvent, Sink};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use self::certificate::OwnCertificates;
use self::keeper::Keeper;
pub use self::site::{LentSite, host_of};
use self::status::Board;
pub use self::status::{Fares, WayStatus, seconds_until};

/// What is lent, and who gets its visitors.
#[derive(Clone)]
pub struct Offer {
    pub lent: Lent,
    pub sink: Sink,
}

/// A way to visitors: whom it is named after, and how it is taken.
pub struct Way {
    pub via: String,
    /// What its agent calls the other side, and what people do: an address has a name.
    pub names: Vec<(String, String)>,
    pub carrier: Box<dyn Carrier>,
}

/// Takes a way, as often as it is asked to.
pub trait Carrier: Send {
    fn start(&self, offers: &[Offer], events: mpsc::UnboundedSender<AgentEvent>) -> Box<dyn Carried>;
}

/// An agent at work. Dropped, it ends at once.
pub trait Carried: Send {
    /// Tells the other side, and lets visitors' connections finish within `patience`.
    fn leave(self: Box<Self>, patience: Duration) -> BoxFuture<'static, ()>;

    /// The time there and back, where it is measured.
    fn round_trip(&self) -> Option<Duration> {
        None
    }
}

/// How a way fares that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Connecting,
    /// `name` is what the other side calls this computer; may be empty.
    Up {
        name: String,
    },
    /// It is tried again at `until`.
    Waiting {
        why: String,
        until: Instant,
    },
    /// It is not tried again until somebody does something.
    Stopped {
        why: String,
        fix: String,
    },
}

/// What becomes of a lending. `way` and `offer` are indices of what it was started with.
#[derive(Clone, Debug)]
pub enum News {
    State {
        way: usize,
        via: String,
        state: State,
    },
    /// It is not taken any more, since one before it works.
    StandsBy {
        way: usize,
    },
    /// Visitors reach the offer at `address`.
    Lent {
        offer: usize,
        via: String,
        address: String,
    },
    /// They do not any more.
    Gone {
        address: String,
    },
    Refused {
        offer: usize,
        way: usize,
        via: String,
        why: TunnelError,
    },
    /// Words from the other side.
    Notice {
        via: String,
        text: String,
    },
    /// No way is left that could come up.
    Over,
}

/// What it is for a person: `site blog.example.com`, `localhost:22`.
pub fn called(lent: &Lent) -> String {
    match lent {
        Lent::Web(web) => format!("site {}", web.site),
        Lent::Tcp { to, .. } => match to {
            UpstreamAddr::Tcp { host, port } => format!("{host}:{port}"),
            UpstreamAddr::Unix(path) => path.display().to_string(),
        },
        Lent::Udp { to, .. } => format!("{to} (UDP)"),
    }
}

type AtWork = keeper::Agents;

/// Agents at work, by the first way that works. Dropped, all end at once.
pub struct Lending {
    board: Board,
    at_work: AtWork,
    leave: Option<oneshot::Sender<Duration>>,
    keeper: Option<JoinHandle<()>>,
}

impl Lending {
    /// Takes the first way, and the next one where that fails.
    pub fn start(ways: Vec<Way>, offers: Vec<Offer>, news: mpsc::UnboundedSender<News>) -> Self {
        Self::start_after(Duration::ZERO, ways, offers, news)
    }

    /// The same after a while, in which somebody else may leave.
    pub fn start_after(wait: Duration, ways: Vec<Way>, offers: Vec<Offer>, news: mpsc::UnboundedSender<News>) -> Self {
        let board = Board::new(ways.iter().map(|way| way.via.clone()));
        let at_work: AtWork = Arc::new(Mutex::new(Vec::new()));
        let keeper = Keeper::new(ways, offers, at_work.clone(), board.clone(), news);
        let (leave, left) = oneshot::channel();
        Self { board, at_work, leave: Some(leave), keeper: Some(tokio::spawn(keeper.run(wait, left))) }
    }

    /// How each way fares, and the time there and back where it is known.
    pub fn status(&self) -> Vec<(WayStatus, Option<Duration>)> {
        let at_work = self.at_work.lock();
        let round_trip = |way: usize| at_work.get(way)?.as_ref()?.round_trip();
        self.board.read().into_iter().enumerate().map(|(way, status)| (status, round_trip(way))).collect()
    }

    /// Leaves every relay gently. Ends when the visitors' connections have, or after `patience`.
    pub async fn leave(mut self, patience: Duration) {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(patience);
        }
        if let Some(keeper) = &mut self.keeper {
            let _ = keeper.await;
        }
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        self.at_work.lock().clear();
    }
}
