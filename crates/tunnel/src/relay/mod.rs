//! doorstep's own carrier, on the relay's side: agents' connections, from the greeting to their end.
//!
//! A connection is served in the task and thread that accepted it. A session's control connection is in [`control`], its data
//! connections in [`data`]; visitors come in by [`Session`], which is the session's [`Carrier`](crate::Carrier).

mod control;
mod data;
mod event;
mod greet;
mod pool;
mod probe;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorstep_net::{BoxFuture, ConnInfo, Drain, Io};
use doorstep_proto::tunnel::{AgentKey, Code, Exporter, SessionId};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::limits::RELAY_EVENTS;
use crate::link::Transport;
use crate::registry::{Registry, RegistryEvent};

pub use event::RelayEvent;
pub use session::SessionGauges;

use greet::Greeted;
use session::Session;

/// Takes agents' connections. A cheap copy of one relay.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

/// What a relay may be told.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// What it calls itself to agents: program and version.
    pub software: String,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self { software: concat!("doorstep/", env!("CARGO_PKG_VERSION")).to_owned() }
    }
}

struct Inner {
    registry: Registry,
    options: RelayOptions,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    events: broadcast::Sender<RelayEvent>,
    /// Sessions that begin now are asked to go elsewhere, too.
    going: AtomicBool,
    probes: probe::Budget,
    /// Agents may not have it looked from here whether they can be reached.
    blind: AtomicBool,
    /// Listens to the registry: begun with the first session, for it needs a runtime.
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Relay {
    pub fn new(registry: Registry, options: RelayOptions) -> Self {
        let (events, _) = broadcast::channel(RELAY_EVENTS);
        Self(Arc::new(Inner {
            registry,
            options,
            sessions: Mutex::default(),
            events,
            going: AtomicBool::new(false),
            probes: probe::Budget::default(),
            blind: AtomicBool::new(false),
            listener: Mutex::default(),
        }))
    }

    /// One connection of an agent, whatever it is for, until it ends. `exporter` is that of its TLS
    /// ([`EXPORTER_LABEL`](doorstep_proto::tunnel::EXPORTER_LABEL)).
    ///
    /// When `drain` starts, the agent is asked to go elsewhere, and what is under way goes on; when it is hurried, the
    /// connection ends.
    pub fn serve(&self, io: Io, info: Arc<ConnInfo>, exporter: Exporter, drain: Drain) -> BoxFuture<'static, ()> {
        let relay = self.clone();
        // Each part in a box of its own: what only the greeting needs is not kept for as long as the connection lives.
        Box::pin(async move {
            let greeted = Box::pin(greet::greet(&relay, Transport::from(io), &info, exporter)).await;
            match greeted {
                Some(Greeted::Control { session, wire, rest }) => {
                    relay.listen();
                    // It may have been revoked between its greeting and now.
                    if let Err(error) = relay.0.registry.authenticate(&session.session.agent.key) {
                        session.session.end(error);
                    }
                    if relay.0.going.load(Ordering::SeqCst) {
                        session.session.order(|order| order.go_away = true);
                    }
                    Box::pin(control::run(relay, session, wire, rest, drain)).await;
                }
                Some(Greeted::Data { session, sharing, wire, rest, place }) => {
                    drop(info);
                    Box::pin(data::run(session, sharing, wire, rest, place, drain)).await;
                }
                Some(Greeted::Probe { agent, asks, wire }) => {
                    Box::pin(probe::run(&relay, &agent, &info, asks, wire)).await;
                }
                None => {}
            }
        })
    }

    /// Asks all agents to go elsewhere. Streams under way go on.
    pub fn go_away(&self) {
        self.0.going.store(true, Ordering::SeqCst);
        let sessions: Vec<_> = self.0.sessions.lock().values().cloned().collect();
        for session in sessions {
            session.order(|order| order.go_away = true);
        }
    }

    /// A session of the same agent, perhaps by another road, took over from this one. If the agent is just leaving it, its
    /// streams finish.
    pub fn evict(&self, id: &SessionId) {
        if let Some(session) = self.session(id) {
            session.order(|order| order.evicted = true);
        }
    }

    /// What happens from now on, for people to look at.
    pub fn events(&self) -> broadcast::Receiver<RelayEvent> {
        self.0.events.subscribe()
    }

    /// Whether agents may have it looked from here whether they can be reached. They may, unless told otherwise.
    pub fn allow_probes(&self, allow: bool) {
        self.0.blind.store(!allow, Ordering::Relaxed);
    }

    /// Connections that were made to look whether an agent can be reached, since the start.
    pub fn probed(&self) -> u64 {
        self.0.probes.made()
    }

    /// All sessions as they are now.
    pub fn sessions(&self) -> Vec<SessionGauges> {
        let sessions: Vec<_> = self.0.sessions.lock().values().cloned().collect();
        sessions.iter().map(|session| session.gauges()).collect()
    }

    fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.0.sessions.lock().get(id).cloned()
    }

    fn tell(&self, event: RelayEvent) {
        let _ = self.0.events.send(event);
    }

    /// Sees to it that somebody listens to the registry.
    fn listen(&self) {
        let mut listener = self.0.listener.lock();
        if listener.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let mut events = self.0.registry.events();
        let relay = Arc::downgrade(&self.0);
        *listener = Some(tokio::spawn(async move {
            loop {
                let event = events.recv().await;
                let Some(relay) = relay.upgrade().map(Self) else { return };
                match event {
                    Ok(RegistryEvent::AgentRevoked { key, .. }) => relay.revoked(|other| *other == key),
                    Ok(RegistryEvent::ClaimWithdrawn { session, id, error }) => {
                        if let Some(session) = relay.session(&session) {
                            session.order(|order| order.withdrawn.push((id, error)));
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => relay.revoked(|key| relay.0.registry.authenticate(key).is_err()),
                    Err(RecvError::Closed) => return,
                }
            }
        }));
    }

    fn revoked(&self, is: impl Fn(&AgentKey) -> bool) {
        let sessions: Vec<_> = self.0.sessions.lock().values().cloned().collect();
        for session in sessions.iter().filter(|session| is(&session.agent.key)) {
            session.end(Code::RevokedKey.into());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.get_mut().take() {
            listener.abort();
        }
    }
}
