use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use doorstep_net::{BoxFuture, Io};
use doorstep_proto::tunnel::limits::MAX_DATA_CONNS;
use doorstep_proto::tunnel::{Code, Open, OpenError, SessionId, Sharing, TunnelError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pool::Pool;
use crate::limits::CONN_WAIT;
use crate::link::{LinkHandle, Traffic};
use crate::registry::Agent;
use crate::{Carrier, OpenFailed, Visitor};

/// A session with an agent: what its control connection, its data connections and visitors have in common.
pub(super) struct Session {
    pub id: SessionId,
    pub agent: Agent,
    pub from: SocketAddr,
    pub since: SystemTime,
    state: Mutex<State>,
    /// There is a connection that was not there, or the session is over.
    changed: Notify,
    /// There is something in the order.
    ordered: Notify,
}

#[derive(Default)]
struct State {
    pool: Pool,
    order: Order,
    over: Option<Code>,
    round_trip: Option<Duration>,
}

/// What the control connection is to do. Grows no further than what there is: claims are bounded, the rest is one of each.
#[derive(Default)]
pub(super) struct Order {
    pub end: Option<TunnelError>,
    pub go_away: bool,
    /// Another session took over from this one.
    pub evicted: bool,
    pub withdrawn: Vec<(u32, TunnelError)>,
    pub busy: Option<u16>,
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct SessionGauges {
    pub session: SessionId,
    pub agent: Arc<str>,
    pub from: SocketAddr,
    pub since: SystemTime,
    /// Data connections.
    pub connections: usize,
    /// Open right now.
    pub streams: usize,
    /// Payload bytes, and how many streams there were; `received` is what came from the agent.
    pub traffic: Traffic,
    pub round_trip: Option<Duration>,
}

impl Session {
    pub fn new(id: SessionId, agent: Agent, from: SocketAddr) -> Self {
        Self {
            id,
            agent,
            from,
            since: SystemTime::now(),
            state: Mutex::default(),
            changed: Notify::new(),
            ordered: Notify::new(),
        }
    }

    /// Changes what the control connection is to do.
    pub fn order(&self, change: impl FnOnce(&mut Order)) {
        change(&mut self.state.lock().order);
        self.ordered.notify_one();
    }

    pub fn end(&self, error: TunnelError) {
        self.order(|order| order.end = order.end.take().or(Some(error)));
    }

    /// Waits for something to do.
    pub async fn orders(&self) -> Order {
        loop {
            let order = {
                let mut state = self.state.lock();
                state.pool.told = state.order.busy.unwrap_or(state.pool.told);
                std::mem::take(&mut state.order)
            };
            if order.end.is_some()
                || order.go_away
                || order.evicted
                || !order.withdrawn.is_empty()
                || order.busy.is_some()
            {
                return order;
            }
            self.ordered.notified().await;
        }
    }

    /// The session is over, and with it its data connections: at once, or, where the agent left in order, when what it sent
    /// before was read.
    pub fn finish(&self, code: Code) {
        let mut state = self.state.lock();
        state.over = Some(code);
        match code {
            Code::Done => state.pool.close_idle(code),
            _ => state.pool.close_all(code),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A place for one more data connection, which is given back when it is dropped.
    ///
    /// # Errors
    /// [`Code::TooManyConns`], [`Code::UnknownSession`].
    pub fn reserve(self: &Arc<Self>) -> Result<Reserved, TunnelError> {
        let mut state = self.state.lock();
        if state.over.is_some() {
            return Err(Code::UnknownSession.into());
        }
        if state.pool.len() >= usize::from(MAX_DATA_CONNS) {
            return Err(TunnelError::new(Code::TooManyConns, format!("at most {MAX_DATA_CONNS}")));
        }
        state.pool.coming += 1;
        Ok(Reserved(self.clone()))
    }

    /// A data connection is there; says its number.
    pub fn join(&self, sharing: Sharing, handle: LinkHandle) -> u32 {
        let mut state = self.state.lock();
        if let Some(code) = state.over {
            handle.close(code);
        }
        let number = state.pool.add(sharing, handle);
        drop(state);
        self.changed.notify_waiters();
        number
    }

    pub fn leave(&self, number: u32) {
        let mut state = self.state.lock();
        state.pool.remove(number);
        self.tell_busy(&mut state);
    }

    /// A stream of a data connection is over. Says whether the connection is to be closed.
    pub fn freed(&self, number: u32) -> bool {
        let mut state = self.state.lock();
        let surplus = state.pool.free(number) || state.over.is_some();
        self.tell_busy(&mut state);
        if state.pool.waiting > 0 {
            self.changed.notify_waiters();
        }
        surplus
    }

    pub fn wanted(&self, exclusive: u16, shared: u16) {
        let mut state = self.state.lock();
        state.pool.wanted = (exclusive.into(), shared.into());
        state.pool.shrink();
    }

    pub fn set_round_trip(&self, round_trip: Duration) {
        self.state.lock().round_trip = Some(round_trip);
    }

    pub fn gauges(&self) -> SessionGauges {
        let state = self.state.lock();
        SessionGauges {
            session: self.id,
            agent: self.agent.name.clone(),
            from: self.from,
            since: self.since,
            connections: state.pool.len() - state.pool.coming,
            streams: state.pool.streams(),
            traffic: state.pool.traffic(),
            round_trip: state.round_trip,
        }
    }

    /// At once only when more are at work than was said: that fewer are has time until the agent's next sign of life.
    fn tell_busy(&self, state: &mut State) {
        let busy = state.pool.busy();
        if busy != state.pool.told || state.order.busy.is_some() {
            state.order.busy = Some(busy);
        }
        if busy > state.pool.told {
            self.ordered.notify_one();
        }
    }

    async fn open_stream(&self, open: Open) -> Result<Io, OpenFailed> {
        if let Some(stream) = self.try_open(&open)? {
            return Ok(stream);
        }
        let _waiting = Waiting::new(self);
        let deadline = tokio::time::Instant::now() + CONN_WAIT;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From now on nothing is missed.
            changed.as_mut().enable();
            if let Some(stream) = self.try_open(&open)? {
                return Ok(stream);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Err(OpenFailed { code: Code::TooManyStreams, retriable: true });
            }
        }
    }

    /// `None`: there is no connection for it right now.
    fn try_open(&self, open: &Open) -> Result<Option<Io>, OpenFailed> {
        let mut state = self.state.lock();
        loop {
            if state.over.is_some() {
                return Err(OpenFailed { code: Code::Lost, retriable: true });
            }
            let taken = if open.datagrams { state.pool.take_shared() } else { state.pool.take() };
            let Some(handle) = taken else { return Ok(None) };
            match handle.open(open.clone()) {
                Ok(stream) => {
                    self.tell_busy(&mut state);
                    return Ok(Some(Io::Other(Box::new(stream))));
                }
                // It ended this very moment, and leaves the pool by itself.
                Err(OpenError::Over | OpenError::Busy) => {}
                Err(OpenError::Datagrams | OpenError::Agent) => {
                    return Err(OpenFailed { code: Code::Unexpected, retriable: false });
                }
            }
        }
    }
}

/// A visitor that waits for a connection: one more is wanted.
struct Waiting<'a>(&'a Session);

impl<'a> Waiting<'a> {
    fn new(session: &'a Session) -> Self {
        let mut state = session.state.lock();
        state.pool.waiting += 1;
        session.tell_busy(&mut state);
        Self(session)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.pool.waiting -= 1;
        self.0.tell_busy(&mut state);
    }
}

impl Carrier for Session {
    fn open(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(self.open_stream(opening(claim, visitor, false)))
    }

    fn open_datagrams(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(self.open_stream(opening(claim, visitor, true)))
    }
}

fn opening(claim: u32, visitor: Visitor, datagrams: bool) -> Open {
    Open { claim, visitor: visitor.peer, local: visitor.local, tls: visitor.tls, datagrams }
}

/// A place for a data connection, until it is there or did not come.
pub(super) struct Reserved(Arc<Session>);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.state.lock().pool.coming -= 1;
    }
}
