use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::wire::Wire;
use crate::tunnel::limits::{BEAT, DIAL_AGAIN, LEASE, MAX_CLAIMS, MAX_DATA_CONNS};
use crate::tunnel::{Claim, Code, Frame, Grant, Sharing, TunnelError};

/// The agent's end of a control connection, after the greeting.
#[derive(Debug)]
pub struct AgentSession {
    wire: Wire,
    claims: BTreeMap<u32, Claimed>,
    next_claim: u32,
    ping: u64,
    answered: u64,
    pinged: Instant,
    round_trip: Option<Duration>,
    exclusive: Conns,
    shared: Conns,
    random: u64,
    outputs: VecDeque<AgentOutput>,
}

#[derive(Debug, Default)]
struct Claimed {
    /// When to renew, and when the lease is over; once it was granted.
    granted: Option<(Instant, Instant)>,
    lease: Duration,
}

/// Data connections of one kind.
#[derive(Debug, Default)]
struct Conns {
    wanted: u16,
    /// Open ones, and those that are being opened.
    have: u16,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
pub enum AgentInput {
    /// Bytes from the relay.
    Received(Bytes),
    /// The connection ended.
    Closed,
    /// A data connection was welcomed.
    DataOpened(Sharing),
    /// A data connection ended that was open.
    DataClosed(Sharing),
    /// One that [`AgentOutput::Dial`] asked for could not be opened.
    DialFailed(Sharing),
}

#[derive(Debug, PartialEq, Eq)]
pub enum AgentOutput {
    /// Given for the first time, or changed.
    Granted { id: u32, grant: Grant },
    /// Refused, or taken back. The claim is forgotten; [`Code::retry`] tells whether to claim again later.
    Denied { id: u32, error: TunnelError },
    /// Open a data connection, and tell what became of it.
    Dial(Sharing),
    /// The relay is about to stop: open a session elsewhere (or with its successor), then [`AgentSession::leave`] this one.
    /// Streams under way go on.
    GoAway(String),
    /// The session is over, with all its claims. Send what is still to be transmitted, then close the data connections.
    Closed(TunnelError),
}

impl AgentSession {
    /// `seed` spreads the waits of agents that lost the same relay.
    pub fn new(now: Instant, seed: u64) -> Self {
        Self {
            wire: Wire::new(now),
            claims: BTreeMap::new(),
            next_claim: 1,
            ping: 0,
            answered: 0,
            pinged: now,
            round_trip: None,
            exclusive: Conns::default(),
            shared: Conns::default(),
            random: seed | 1,
            outputs: VecDeque::new(),
        }
    }

    /// Asks for a name or port. Allow the number on every [`DataLink`](crate::tunnel::DataLink) at once: visitors may come
    /// by a data connection before the grant comes by this one. `None` when there are too many, or the session is over.
    pub fn claim(&mut self, claim: Claim) -> Option<u32> {
        if self.wire.closed || self.claims.len() >= MAX_CLAIMS {
            return None;
        }
        let id = self.next_claim;
        self.next_claim = id.checked_add(1)?;
        self.claims.insert(id, Claimed::default());
        self.send(&Frame::Claim { id, claim });
        Some(id)
    }

    /// Gives a claim back.
    pub fn release(&mut self, id: u32) {
        if self.claims.remove(&id).is_some() {
            self.send(&Frame::Release { id });
        }
    }

    /// Ends the session in peace.
    pub fn leave(&mut self) {
        self.fail(Code::Done.into(), true);
    }

    /// Asks for a sign of life at once, because the path may have changed. The caller decides how long it has patience.
    pub fn probe(&mut self, now: Instant) {
        if !self.wire.closed {
            self.ping(now);
        }
    }

    /// Whether the relay answered the last [`probe`](Self::probe) or heartbeat, and with it everything that was said before.
    pub fn is_answered(&self) -> bool {
        self.answered == self.ping
    }

    /// How long the relay took to answer the last heartbeat.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub fn handle_input(&mut self, now: Instant, input: AgentInput) {
        match input {
            AgentInput::Received(bytes) => self.received(now, bytes),
            AgentInput::Closed => self.fail(Code::Lost.into(), false),
            AgentInput::DataOpened(sharing) => {
                let conns = self.conns(sharing);
                (conns.failures, conns.not_before) = (0, None);
            }
            AgentInput::DataClosed(sharing) => {
                let conns = self.conns(sharing);
                conns.have = conns.have.saturating_sub(1);
                // One that breaks as soon as it is open must not be opened again in a tight loop.
                conns.not_before.get_or_insert(now + DIAL_AGAIN.0);
            }
            AgentInput::DialFailed(sharing) => {
                let random = self.random();
                let conns = self.conns(sharing);
                conns.have = conns.have.saturating_sub(1);
                let bound = DIAL_AGAIN.0.saturating_mul(1 << conns.failures.min(16)).min(DIAL_AGAIN.1);
                conns.failures += 1;
                conns.not_before =
                    Some(now + bound / 2 + (bound / 2).mul_f64((random >> 40) as f64 / (1 << 24) as f64));
            }
        }
        self.dial(now);
    }

    /// Hand in what has been received before this: a machine that slept would find everybody dead otherwise.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.wire.closed {
            return;
        }
        if now >= self.wire.dead_at() {
            return self.fail(Code::Silent.into(), true);
        }
        if now >= self.pinged + BEAT {
            self.ping(now);
        }
        self.renew(now);
        self.dial(now);
    }

    pub fn poll_output(&mut self) -> Option<AgentOutput> {
        self.outputs.pop_front()
    }

    /// Bytes for the relay; ask when they can be written.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.wire.transmit()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.wire.closed {
            return None;
        }
        let leases = self.claims.values().filter_map(|claim| claim.granted.map(|(renew, over)| renew.min(over)));
        let dials = [&self.exclusive, &self.shared].into_iter();
        let dials = dials.filter(|conns| conns.have < conns.wanted).filter_map(|conns| conns.not_before);
        leases.chain(dials).chain([self.wire.dead_at(), self.pinged + BEAT]).min()
    }

    fn received(&mut self, now: Instant, bytes: Bytes) {
        if self.wire.closed {
            return;
        }
        self.wire.feed(now, bytes);
        while !self.wire.closed {
            match self.wire.next() {
                Ok(Some(frame)) => self.frame(now, frame),
                Ok(None) => break,
                Err(error) => self.fail(error, true),
            }
        }
    }

    fn frame(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Pong(number) if number == self.ping => {
                self.answered = number;
                self.round_trip = Some(now.saturating_duration_since(self.pinged));
            }
            Frame::Pong(_) => {}
            Frame::Granted { id, grant } => self.granted(now, id, grant),
            Frame::Denied { id, code, detail } => {
                if self.claims.remove(&id).is_some() {
                    let error = TunnelError::new(Code::from_number(code), detail);
                    self.outputs.push_back(AgentOutput::Denied { id, error });
                }
            }
            Frame::Pool { exclusive, shared } => {
                self.shared.wanted = shared.min(MAX_DATA_CONNS);
                self.exclusive.wanted = exclusive.min(MAX_DATA_CONNS - self.shared.wanted);
                self.dial(now);
            }
            Frame::GoAway { detail } => self.outputs.push_back(AgentOutput::GoAway(detail)),
            Frame::Close { code, detail } => self.fail(TunnelError::new(Code::from_number(code), detail), false),
            _ => self.fail(TunnelError::new(Code::Unexpected, "from the relay, on the control connection"), true),
        }
    }

    fn granted(&mut self, now: Instant, id: u32, mut grant: Grant) {
        // Nothing for a claim that was released meanwhile.
        let Some(claim) = self.claims.get_mut(&id) else { return };
        grant.lease = grant.lease.clamp(*LEASE.start(), *LEASE.end());
        claim.lease = grant.lease;
        let first = claim.granted.replace((now + grant.lease / 2, now + grant.lease)).is_none();
        if first {
            self.outputs.push_back(AgentOutput::Granted { id, grant });
        }
    }

    fn ping(&mut self, now: Instant) {
        self.ping += 1;
        self.pinged = now;
        self.send(&Frame::Ping(self.ping));
    }

    fn renew(&mut self, now: Instant) {
        let mut due = Vec::new();
        let mut over = Vec::new();
        for (id, claim) in &mut self.claims {
            let Some((renew, end)) = &mut claim.granted else { continue };
            if now >= *end {
                over.push(*id);
            } else if now >= *renew {
                *renew = now + claim.lease / 8;
                due.push(*id);
            }
        }
        due.into_iter().for_each(|id| self.send(&Frame::Renew { id }));
        for id in over {
            self.claims.remove(&id);
            self.send(&Frame::Release { id });
            self.outputs.push_back(AgentOutput::Denied { id, error: Code::LeaseExpired.into() });
        }
    }

    fn dial(&mut self, now: Instant) {
        if self.wire.closed {
            return;
        }
        for sharing in [Sharing::Shared, Sharing::Exclusive] {
            let conns = self.conns(sharing);
            if conns.not_before.is_some_and(|at| now < at) {
                continue;
            }
            // After a failure one attempt, not all of them at once.
            let most = if conns.failures > 0 { 1 } else { u16::MAX };
            let count = conns.wanted.saturating_sub(conns.have).min(most);
            if count > 0 {
                conns.not_before = None;
                conns.have += count;
            }
            (0..count).for_each(|_| self.outputs.push_back(AgentOutput::Dial(sharing)));
        }
    }

    fn conns(&mut self, sharing: Sharing) -> &mut Conns {
        match sharing {
            Sharing::Exclusive => &mut self.exclusive,
            Sharing::Shared => &mut self.shared,
        }
    }

    fn random(&mut self) -> u64 {
        // xorshift64*: good enough to spread waits.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn send(&mut self, frame: &Frame) {
        if !self.wire.closed
            && let Err(error) = self.wire.send(frame)
        {
            self.fail(error, true);
        }
    }

    fn fail(&mut self, error: TunnelError, tell: bool) {
        if self.wire.closed {
            return;
        }
        self.wire.closed = true;
        if tell {
            self.wire.close(&error);
        }
        self.claims.clear();
        self.outputs.push_back(AgentOutput::Closed(error));
    }
}
