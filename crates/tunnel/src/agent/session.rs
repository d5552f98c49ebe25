//! The control connection of a session, from the first attempt to the end.

use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use doorstep_proto::tunnel::{AgentInput, AgentOutput, AgentSession, Code, Purpose, TunnelError, Welcome};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

use super::claims::Claims;
use super::data::{self, DataReport};
use super::greet::{self, ConnectFailed};
use super::shared::{Core, Relay, Shared};
use super::{backoff, threads};
use crate::AgentEvent;
use crate::limits::{CONTROL_READ, DATA_REPORTS, LAST_WORDS, LEAVE_SETTLE, PROBE, RETIRED_IDLE};
use crate::link::Transport;

/// What a session is to do. It starts at [`Stage::Standby`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    pub stage: Stage,
    /// How often the path was to be probed.
    pub probes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Claim nothing yet: the session that is there may do.
    Standby,
    Serving,
    /// Another session took over, and the relay ends this one by and by. Until then, or until it is of no more use.
    Retired {
        until: Instant,
    },
    /// Give the claims back, finish what is under way, go.
    Leaving {
        until: Instant,
    },
}

/// What a session tells its keeper.
#[derive(Debug)]
pub(super) enum Report {
    /// Welcomed by this name, and waiting for orders.
    Ready(String),
    GoAway,
    /// It was probed and did not answer.
    Suspect,
    /// It answered after all.
    Well,
    /// No target is or will be lent.
    Hopeless(TunnelError),
    Over(Ended),
}

/// Why a session is over.
#[derive(Debug)]
pub(super) enum Ended {
    Connect(ConnectFailed),
    Closed(TunnelError),
}

/// Where reports go, with the session's number.
#[derive(Clone)]
pub(super) struct Reports {
    pub serial: u64,
    pub sender: mpsc::Sender<(u64, Report)>,
}

impl Reports {
    async fn send(&self, report: Report) {
        let _ = self.sender.send((self.serial, report)).await;
    }
}

/// Opens a session with `relay` and keeps it until it ends. The last report says why.
pub(super) async fn run(core: Arc<Core>, relay: Arc<Relay>, orders: watch::Receiver<Orders>, reports: Reports) {
    let lived = AssertUnwindSafe(live(core, relay, orders, &reports)).catch_unwind().await;
    let fault = |_| Ended::Closed(TunnelError::new(Code::Lost, "by a fault of doorstep"));
    reports.send(Report::Over(lived.unwrap_or_else(fault))).await;
}

async fn live(core: Arc<Core>, relay: Arc<Relay>, mut orders: watch::Receiver<Orders>, reports: &Reports) -> Ended {
    let key = &relay.identity.key;
    // In a box of its own: what only this needs is not kept for as long as the session lives.
    let greeted = match Box::pin(greet::connect(&relay.dialer, None, key, Purpose::Control, &core.software)).await {
        Ok(greeted) => greeted,
        Err(error) => return Ended::Connect(error),
    };
    reports.send(Report::Ready(greeted.welcome.agent.clone())).await;
    let shared = Shared::new(core, relay, greeted.welcome.session, greeted.address);
    let control = Control::new(shared, greeted.io, greeted.rest, greeted.local, reports.clone());
    Ended::Closed(control.run(greeted.welcome, &mut orders).await)
}

struct Control {
    shared: Arc<Shared>,
    machine: AgentSession,
    io: Transport,
    local: Option<IpAddr>,
    /// What is being written.
    out: Bytes,
    unflushed: bool,
    claims: Claims,
    data: (mpsc::Sender<DataReport>, mpsc::Receiver<DataReport>),
    reports: Reports,
    orders: Orders,
    /// An answer is expected until then.
    probe: Option<Instant>,
    suspect: bool,
    leave: Leave,
    /// Since when a retired session has no streams.
    idle_since: Option<Instant>,
    over: Option<TunnelError>,
}

/// How far leaving is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    No,
    /// The claims were given back; the relay has not said that it knows, and visitors may still come.
    Asked(Instant),
    /// No more visitors come.
    Settled,
}

/// Ends the data connections however the control connection ends.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

enum Step {
    Received(Bytes),
    Closed,
    /// What was to be written is.
    Written,
}

impl Control {
    fn new(shared: Arc<Shared>, io: Transport, rest: Bytes, local: Option<IpAddr>, reports: Reports) -> Self {
        let now = Instant::now();
        let mut machine = AgentSession::new(now, backoff::random());
        machine.handle_input(now, AgentInput::Received(rest));
        let claims = Claims::new(shared.agent.targets.len());
        Self {
            shared,
            machine,
            io,
            local,
            out: Bytes::new(),
            unflushed: false,
            claims,
            data: mpsc::channel(DATA_REPORTS),
            reports,
            orders: Orders { stage: Stage::Standby, probes: 0 },
            probe: None,
            suspect: false,
            leave: Leave::No,
            idle_since: None,
            over: None,
        }
    }

    async fn run(mut self, welcome: Welcome, orders: &mut watch::Receiver<Orders>) -> TunnelError {
        let _end = EndGuard(self.shared.clone());
        loop {
            self.outputs().await;
            if let Some(error) = self.over.take() {
                self.last_words().await;
                return error;
            }
            if self.out.is_empty()
                && let Some(bytes) = self.machine.poll_transmit()
            {
                self.out = bytes;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                step = poll_fn(|cx| poll_step(cx, &mut self.io, &mut self.out, &mut self.unflushed)) => self.stepped(step).await,
                Some(report) = self.data.1.recv() => self.reported(report),
                changed = orders.changed() => {
                    let leave = Orders { stage: Stage::Leaving { until: Instant::now() }, ..self.orders };
                    let new = if changed.is_ok() { *orders.borrow_and_update() } else { leave };
                    self.ordered(new, &welcome).await;
                }
                () = self.shared.idle(), if self.leave == Leave::Settled => {}
                () = sleep_until(deadline.into()) => {}
            }
            self.time().await;
        }
    }

    async fn outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                AgentOutput::Granted { id, grant } => self.claims.granted(&self.shared, id, &grant, self.is_serving()),
                AgentOutput::Denied { id, error } => {
                    if let Some(error) = self.claims.denied(&self.shared, id, error, self.is_serving()) {
                        self.reports.send(Report::Hopeless(error)).await;
                    }
                }
                AgentOutput::Dial(sharing) => {
                    let Some((handle, place)) = threads::place(&self.shared.agent.lanes) else { continue };
                    let (session, reports) = (self.shared.clone(), self.data.0.clone());
                    handle.spawn(async move {
                        data::run(session, sharing, reports).await;
                        drop(place);
                    });
                }
                AgentOutput::GoAway(detail) => {
                    if self.is_serving() {
                        let text = match detail.is_empty() {
                            true => "The relay is about to stop.".to_owned(),
                            false => format!("The relay is about to stop: {detail}"),
                        };
                        let relay = self.shared.relay.dialer.relay();
                        self.shared.agent.tell(AgentEvent::Notice { relay, text });
                    }
                    self.reports.send(Report::GoAway).await;
                }
                AgentOutput::Closed(error) => self.over = Some(error),
            }
        }
    }

    async fn stepped(&mut self, step: Step) {
        let now = Instant::now();
        match step {
            Step::Received(bytes) => {
                self.machine.handle_input(now, AgentInput::Received(bytes));
                self.probe = None;
                if std::mem::take(&mut self.suspect) {
                    self.reports.send(Report::Well).await;
                }
            }
            Step::Closed => self.machine.handle_input(now, AgentInput::Closed),
            Step::Written => {}
        }
    }

    fn reported(&mut self, report: DataReport) {
        let input = match report {
            DataReport::Opened(sharing) => AgentInput::DataOpened(sharing),
            DataReport::Failed(sharing) => AgentInput::DialFailed(sharing),
            DataReport::Closed(sharing) => AgentInput::DataClosed(sharing),
        };
        self.machine.handle_input(Instant::now(), input);
    }

    async fn ordered(&mut self, new: Orders, welcome: &Welcome) {
        let old = std::mem::replace(&mut self.orders, new);
        let now = Instant::now();
        if new.probes != old.probes && !self.suspect {
            self.machine.probe(now);
            self.probe = Some(now + PROBE);
            // Without its own address, the connection is over, and TCP would not say so for a long time.
            if self.local.is_some_and(is_gone) {
                self.probe = Some(now);
            }
        }
        if new.stage == old.stage {
            return;
        }
        match new.stage {
            Stage::Serving => {
                let agent = &self.shared.agent;
                let relay = self.shared.relay.dialer.relay();
                agent.tell(AgentEvent::Online { relay, name: welcome.agent.clone() });
                self.claims.begin(&self.shared, &mut self.machine);
            }
            Stage::Leaving { .. } if self.leave == Leave::No => {
                self.claims.release(&self.shared, &mut self.machine);
                self.machine.probe(now);
                self.leave = Leave::Asked(now + LEAVE_SETTLE);
            }
            Stage::Standby | Stage::Retired { .. } | Stage::Leaving { .. } => {}
        }
    }

    fn is_serving(&self) -> bool {
        self.orders.stage == Stage::Serving
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let stage = match self.orders.stage {
            Stage::Standby | Stage::Serving => None,
            Stage::Retired { until } => Some(self.idle_since.map_or(until, |since| until.min(since + RETIRED_IDLE))),
            Stage::Leaving { until } => Some(until),
        };
        let asked = match self.leave {
            Leave::Asked(until) => Some(until),
            Leave::No | Leave::Settled => None,
        };
        let again = self.claims.again_at().filter(|_| self.is_serving());
        let all = [self.machine.poll_timeout(), self.probe, stage, asked, again];
        all.into_iter().flatten().min().unwrap_or(now + LEAVE_SETTLE)
    }

    /// What is due.
    async fn time(&mut self) {
        let now = Instant::now();
        if self.machine.poll_timeout().is_some_and(|at| now >= at) {
            self.machine.handle_timeout(now);
        }
        if self.probe.is_some_and(|until| now >= until) {
            self.probe = None;
            self.suspect = true;
            self.reports.send(Report::Suspect).await;
        }
        match self.orders.stage {
            Stage::Standby => {}
            Stage::Serving => {
                self.shared.agent.board.round_trip(self.machine.round_trip());
                self.claims.again(now, &self.shared, &mut self.machine);
            }
            Stage::Retired { until } => {
                match self.shared.streams() {
                    0 => drop(self.idle_since.get_or_insert(now)),
                    _ => self.idle_since = None,
                }
                if now >= until || self.idle_since.is_some_and(|since| now >= since + RETIRED_IDLE) {
                    self.machine.leave();
                }
            }
            Stage::Leaving { until } => self.leave(now, until),
        }
    }

    fn leave(&mut self, now: Instant, until: Instant) {
        if let Leave::Asked(settle) = self.leave
            && (self.machine.is_answered() || now >= settle)
        {
            self.claims.forbid(&self.shared);
            self.shared.finish_streams();
            self.leave = Leave::Settled;
        }
        if now >= until || self.leave == Leave::Settled && self.shared.streams() == 0 {
            self.machine.leave();
        }
    }

    /// Sends what is still to be said, as far as the relay takes it.
    async fn last_words(&mut self) {
        let say = async {
            let mut rest = std::mem::take(&mut self.out);
            loop {
                self.io.write_all_buf(&mut rest).await?;
                match self.machine.poll_transmit() {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            self.io.shutdown().await
        };
        let _ = timeout(LAST_WORDS, say).await;
    }
}

/// Whether this computer has lost the address.
fn is_gone(address: IpAddr) -> bool {
    let bound = std::net::UdpSocket::bind((address, 0));
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrNotAvailable)
}

/// Reads or writes, whichever can be done.
fn poll_step(cx: &mut Context<'_>, io: &mut Transport, out: &mut Bytes, unflushed: &mut bool) -> Poll<Step> {
    let mut buffer = [0; CONTROL_READ];
    let mut read = ReadBuf::new(&mut buffer);
    match Pin::new(&mut *io).poll_read(cx, &mut read) {
        Poll::Ready(Ok(())) if !read.filled().is_empty() => {
            return Poll::Ready(Step::Received(BytesMut::from(read.filled()).freeze()));
        }
        Poll::Ready(_) => return Poll::Ready(Step::Closed),
        Poll::Pending => {}
    }
    let wrote = !out.is_empty();
    while !out.is_empty() {
        match ready!(Pin::new(&mut *io).poll_write(cx, out)) {
            Ok(count @ 1..) => out.advance(count),
            Ok(0) | Err(_) => return Poll::Ready(Step::Closed),
        }
        *unflushed = true;
    }
    if *unflushed {
        match ready!(Pin::new(io).poll_flush(cx)) {
            Ok(()) => *unflushed = false,
            Err(_) => return Poll::Ready(Step::Closed),
        }
    }
    if wrote { Poll::Ready(Step::Written) } else { Poll::Pending }
}
