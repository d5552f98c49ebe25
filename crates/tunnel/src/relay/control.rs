use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use doorstep_net::{BoxFuture, Drain};
use doorstep_proto::tunnel::limits::MAX_DATA_CONNS;
use doorstep_proto::tunnel::{Claim, Code, RelayInput, RelayOutput, RelaySession, TunnelError};
use futures_util::FutureExt as _;
use tokio::time::MissedTickBehavior;

use super::greet::OpenSession;
use super::session::{Order, Session};
use super::{Relay, RelayEvent};
use crate::limits::{DRAINED_IDLE, DRAINED_LOOK, EVICTED, ROUND_TRIP};
use crate::link::{Wire, now};
use crate::registry::Granted;

/// A session's control connection, until the session ends.
pub(super) async fn run(relay: Relay, mut open: OpenSession, wire: Wire, rest: Bytes, drain: Drain) {
    let session = open.session.clone();
    let mut control = Control {
        relay,
        session: session.clone(),
        machine: RelaySession::new(now(), MAX_DATA_CONNS),
        wire,
        claims: Vec::new(),
        looked: None,
        evicted: None,
    };
    control.input(RelayInput::Received(rest));
    let mut started = std::pin::pin!(drain.started());
    let mut hurried = std::pin::pin!(drain.hurried());
    let (mut going, mut gone) = (false, false);
    let mut rests = tokio::time::interval(DRAINED_LOOK);
    rests.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut resting = None;
    open.ended = loop {
        if let Some(ended) = control.settle() {
            break ended;
        }
        let deadline = control.machine.poll_timeout().into_iter().chain(control.evicted).min().unwrap_or_else(now);
        tokio::select! {
            read = control.wire.read() => {
                control.input(read.map_or(RelayInput::Closed, RelayInput::Received));
                control.look_at_round_trip();
            }
            order = session.orders() => control.obey(order),
            (id, answer) = answered(&mut control.claims) => control.answer(id, answer),
            () = tokio::time::sleep_until(deadline.into()) => control.timeout(),
            () = &mut started, if !going => {
                going = true;
                session.order(|order| order.go_away = true);
            }
            now = rests.tick(), if going && !gone => {
                if session.gauges().streams > 0 {
                    resting = None;
                } else if now.duration_since(*resting.get_or_insert(now)) >= DRAINED_IDLE {
                    // Nobody is served any more, so that nothing is to be waited for.
                    gone = true;
                    session.end(TunnelError::new(Code::Done, "the relay has stopped"));
                }
            }
            () = &mut hurried, if !gone => {
                gone = true;
                session.end(TunnelError::new(Code::Done, "the relay has stopped"));
            }
        }
    };
    // Everybody else learns of it while the last words are still being taken.
    let mut wire = control.wire;
    drop(open);
    wire.finish().await;
}

struct Control {
    relay: Relay,
    session: Arc<Session>,
    machine: RelaySession,
    wire: Wire,
    /// Those that are being decided.
    claims: Vec<Asked>,
    /// When the round trip was looked at.
    looked: Option<Instant>,
    /// Another session took over: when this one ends, unless its agent is just leaving it.
    evicted: Option<Instant>,
}

struct Asked {
    id: u32,
    claim: Claim,
    answer: BoxFuture<'static, Result<Granted, TunnelError>>,
}

/// The first decision; none for ever, where nothing is asked.
async fn answered(claims: &mut Vec<Asked>) -> ((u32, Claim), Result<Granted, TunnelError>) {
    poll_fn(|cx| {
        for at in 0..claims.len() {
            if let Poll::Ready(answer) = claims[at].answer.as_mut().poll(cx) {
                let Asked { id, claim, .. } = claims.swap_remove(at);
                return Poll::Ready(((id, claim), answer));
            }
        }
        Poll::Pending
    })
    .await
}

impl Control {
    fn input(&mut self, input: RelayInput) {
        self.machine.handle_input(now(), input);
    }

    /// Does what the machine says, and hands what it has to send to the connection. Says why the session is over.
    fn settle(&mut self) -> Option<TunnelError> {
        let mut ended = None;
        while let Some(output) = self.machine.poll_output() {
            match output {
                RelayOutput::Claim { id, claim } => {
                    let registry = &self.relay.0.registry;
                    let answer = registry.claim(self.session.id, id, &self.session.agent, &claim, self.session.clone());
                    self.claims.push(Asked { id, claim, answer });
                }
                RelayOutput::Released { id } => {
                    self.claims.retain(|asked| asked.id != id);
                    self.relay.0.registry.release(self.session.id, id);
                }
                RelayOutput::Wanted { exclusive, shared } => self.session.wanted(exclusive, shared),
                RelayOutput::Renewed { .. } => {}
                RelayOutput::Closed(error) => ended = Some(error),
            }
        }
        while self.wire.has_room()
            && let Some(bytes) = self.machine.poll_transmit()
        {
            self.wire.push(bytes);
        }
        ended
    }

    fn answer(&mut self, (id, claim): (u32, Claim), answer: Result<Granted, TunnelError>) {
        match answer {
            Ok(Granted { grant, evicts }) => {
                if let Some(old) = evicts {
                    self.relay.evict(&old);
                }
                self.input(RelayInput::Grant { id, grant });
            }
            Err(error) => {
                self.relay.tell(RelayEvent::Denied {
                    from: self.session.from,
                    agent: self.session.agent.name.clone(),
                    claim: describe(&claim),
                    error: error.clone(),
                });
                self.input(RelayInput::Deny { id, error });
            }
        }
    }

    fn obey(&mut self, order: Order) {
        for (id, error) in order.withdrawn {
            self.input(RelayInput::Deny { id, error });
        }
        if let Some(busy) = order.busy {
            self.input(RelayInput::Busy(busy));
        }
        if order.go_away {
            self.relay.0.registry.going_away(self.session.id);
            self.input(RelayInput::GoAway("the relay is about to stop".to_owned()));
        }
        if order.evicted && self.evicted.is_none() {
            self.evicted = Some(now() + EVICTED);
        }
        if let Some(error) = order.end {
            self.input(RelayInput::End(error));
        }
    }

    /// What the socket holds is handed in before, so that nobody is found dead who is not.
    fn timeout(&mut self) {
        if let Some(read) = self.wire.read().now_or_never() {
            self.input(read.map_or(RelayInput::Closed, RelayInput::Received));
        }
        self.machine.handle_timeout(now());
        if self.evicted.take_if(|due| now() >= *due).is_some() && self.machine.has_claims() {
            self.input(RelayInput::End(Code::Evicted.into()));
        }
    }

    fn look_at_round_trip(&mut self) {
        let now = now();
        if self.looked.is_none_or(|looked| now >= looked + ROUND_TRIP) {
            self.looked = Some(now);
            if let Some(round_trip) = self.wire.round_trip() {
                self.session.set_round_trip(round_trip);
                self.relay.0.registry.set_round_trip(self.session.id, round_trip);
            }
        }
    }
}

fn describe(claim: &Claim) -> String {
    match claim {
        Claim::Http { name, .. } if name.is_empty() => "a name".to_owned(),
        Claim::Http { name, .. } | Claim::Tls { name } => name.clone(),
        Claim::Tcp { port: 0 } => "a TCP port".to_owned(),
        Claim::Tcp { port } => format!("tcp/{port}"),
        Claim::Udp { port: 0 } => "a UDP port".to_owned(),
        Claim::Udp { port } => format!("udp/{port}"),
    }
}
