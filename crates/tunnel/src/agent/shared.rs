use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_net::{Drain, DrainControl, Patience};
use doorstep_proto::tunnel::SessionId;
use tokio::sync::{Notify, mpsc, watch};

use super::board::Board;
use super::dial::Dialer;
use super::links::Links;
use super::threads::Lane;
use crate::identity::AgentIdentity;
use crate::{AgentEvent, Target};

/// What all of an agent's sessions have in common.
pub(super) struct Core {
    pub targets: Vec<Target>,
    pub software: String,
    pub lanes: Vec<Arc<Lane>>,
    pub board: Arc<Board>,
    pub events: mpsc::UnboundedSender<AgentEvent>,
}

impl Core {
    pub fn tell(&self, event: AgentEvent) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }
}

/// One of an agent's relays.
pub(super) struct Relay {
    pub identity: AgentIdentity,
    pub dialer: Dialer,
}

/// What a session's control connection, data connections and streams have in common.
pub(super) struct Shared {
    pub agent: Arc<Core>,
    pub relay: Arc<Relay>,
    pub id: SessionId,
    /// Where data connections go: to the same computer as the control connection, whatever DNS says by then.
    pub address: Option<SocketAddr>,
    pub links: Links,
    /// For what serves the streams.
    pub drain: Drain,
    draining: DrainControl,
    streams: AtomicUsize,
    idle: Notify,
    over: watch::Sender<bool>,
}

impl Shared {
    pub fn new(agent: Arc<Core>, relay: Arc<Relay>, id: SessionId, address: Option<SocketAddr>) -> Arc<Self> {
        let (draining, drain) = DrainControl::new();
        let links = Links::default();
        let (streams, idle, over) = (AtomicUsize::new(0), Notify::new(), watch::Sender::new(false));
        Arc::new(Self { agent, relay, id, address, links, drain, draining, streams, idle, over })
    }

    /// No new requests on streams that are open.
    pub fn finish_streams(&self) {
        self.draining.start(Patience::Now);
    }

    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Ends when the last stream that was open did. May end too early.
    pub async fn idle(&self) {
        self.idle.notified().await;
    }

    pub(super) fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_closed(&self) {
        if self.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.idle.notify_one();
        }
    }

    /// Ends when the session did.
    pub async fn ended(&self) {
        let mut over = self.over.subscribe();
        let _ = over.wait_for(|over| *over).await;
    }

    /// Ends the session's data connections, and with them its streams.
    pub fn end(&self) {
        self.links.close();
        self.over.send_replace(true);
    }
}
