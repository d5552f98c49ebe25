use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::wire::Wire;
use crate::tunnel::limits::{LEASE, MAX_CLAIMS};
use crate::tunnel::{Claim, Code, Demand, Frame, Grant, TunnelError};

/// The relay's end of a control connection, after the greeting.
#[derive(Debug)]
pub struct RelaySession {
    wire: Wire,
    claims: BTreeMap<u32, Claimed>,
    last_claim: u32,
    demand: Demand,
    busy: u16,
    wanted: (u16, u16),
    looked: Instant,
    outputs: VecDeque<RelayOutput>,
}

/// How often demand is looked at when nothing is said about it, so that it can shrink.
const LOOK: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Claimed {
    grant: Option<(Grant, Instant)>,
}

#[derive(Debug)]
pub enum RelayInput {
    /// Bytes from the agent.
    Received(Bytes),
    /// The connection ended.
    Closed,
    /// The answer to [`RelayOutput::Claim`].
    Grant { id: u32, grant: Grant },
    /// The other answer to it; or a grant is taken back.
    Deny { id: u32, error: TunnelError },
    /// So many exclusive data connections of the session are at work.
    Busy(u16),
    /// This relay is about to stop: the agent should go elsewhere.
    GoAway(String),
    /// End it: [`Code::Evicted`], [`Code::RevokedKey`], [`Code::Done`].
    End(TunnelError),
}

#[derive(Debug, PartialEq, Eq)]
pub enum RelayOutput {
    /// Answer with [`RelayInput::Grant`] or [`RelayInput::Deny`].
    Claim { id: u32, claim: Claim },
    /// The lease runs anew.
    Renewed { id: u32 },
    /// The agent gave the claim back, or did not renew its lease. Open no more streams for it.
    Released { id: u32 },
    /// So many data connections are wanted: where there are more, close idle ones.
    Wanted { exclusive: u16, shared: u16 },
    /// The session is over, with all its claims. Send what is still to be transmitted, then close the data connections.
    Closed(TunnelError),
}

impl RelaySession {
    /// `bound` is on the data connections of this session, exclusive and shared together.
    pub fn new(now: Instant, bound: u16) -> Self {
        let mut new = Self {
            wire: Wire::new(now),
            claims: BTreeMap::new(),
            last_claim: 0,
            demand: Demand::new(now, bound),
            busy: 0,
            wanted: (0, 0),
            looked: now,
            outputs: VecDeque::new(),
        };
        new.look(now);
        new
    }

    pub fn handle_input(&mut self, now: Instant, input: RelayInput) {
        if self.wire.closed {
            return;
        }
        match input {
            RelayInput::Received(bytes) => self.received(now, bytes),
            RelayInput::Closed => self.fail(Code::Lost.into(), false),
            RelayInput::Grant { id, mut grant } => {
                let Some(claim) = self.claims.get_mut(&id) else { return };
                grant.lease = grant.lease.clamp(*LEASE.start(), *LEASE.end());
                claim.grant = Some((grant.clone(), now + grant.lease));
                self.send(&Frame::Granted { id, grant });
            }
            RelayInput::Deny { id, error } => {
                if self.claims.remove(&id).is_some() {
                    self.send(&Frame::Denied { id, code: error.code.number(), detail: error.detail });
                }
            }
            RelayInput::Busy(busy) => {
                self.busy = busy;
                self.look(now);
            }
            RelayInput::GoAway(detail) => self.send(&Frame::GoAway { detail }),
            RelayInput::End(error) => self.fail(error, true),
        }
    }

    /// Hand in what has been received before this: a machine that slept would find everybody dead otherwise.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.wire.closed {
            return;
        }
        if now >= self.wire.dead_at() {
            return self.fail(Code::Silent.into(), true);
        }
        if now >= self.looked + LOOK {
            self.look(now);
        }
        let over = |claim: &Claimed| claim.grant.as_ref().is_some_and(|(_, end)| now >= *end);
        let over: Vec<u32> = self.claims.iter().filter(|(_, claim)| over(claim)).map(|(id, _)| *id).collect();
        for id in over {
            self.claims.remove(&id);
            self.send(&Frame::Denied { id, code: Code::LeaseExpired.number(), detail: String::new() });
            self.outputs.push_back(RelayOutput::Released { id });
        }
    }

    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.outputs.pop_front()
    }

    /// Whether the agent has claims that it did not give back.
    pub fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Bytes for the agent; ask when they can be written.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.wire.transmit()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let leases = self.claims.values().filter_map(|claim| claim.grant.as_ref().map(|(_, end)| *end));
        (!self.wire.closed).then(|| leases.chain([self.wire.dead_at(), self.looked + LOOK]).min()).flatten()
    }

    fn received(&mut self, now: Instant, bytes: Bytes) {
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
            Frame::Ping(number) => self.send(&Frame::Pong(number)),
            Frame::Claim { id, claim } => self.claim(id, claim),
            Frame::Renew { id } => {
                // One that was withdrawn or ran out meanwhile was denied already.
                let Some(Claimed { grant: Some((grant, end)) }) = self.claims.get_mut(&id) else { return };
                *end = now + grant.lease;
                let grant = grant.clone();
                self.outputs.push_back(RelayOutput::Renewed { id });
                self.send(&Frame::Granted { id, grant });
            }
            Frame::Release { id } => {
                if self.claims.remove(&id).is_some() {
                    self.outputs.push_back(RelayOutput::Released { id });
                }
            }
            Frame::Close { code, detail } => self.fail(TunnelError::new(Code::from_number(code), detail), false),
            _ => self.fail(TunnelError::new(Code::Unexpected, "from the agent, on the control connection"), true),
        }
    }

    fn claim(&mut self, id: u32, claim: Claim) {
        if id <= self.last_claim {
            return self.fail(TunnelError::new(Code::Unexpected, "a claim's number was used before"), true);
        }
        self.last_claim = id;
        if self.claims.len() >= MAX_CLAIMS {
            return self.send(&Frame::Denied {
                id,
                code: Code::TooMuch.number(),
                detail: format!("{MAX_CLAIMS} claims"),
            });
        }
        self.claims.insert(id, Claimed { grant: None });
        self.outputs.push_back(RelayOutput::Claim { id, claim });
    }

    fn look(&mut self, now: Instant) {
        self.looked = now;
        let (exclusive, shared) = self.demand.update(now, self.busy);
        if (exclusive, shared) != self.wanted {
            self.wanted = (exclusive, shared);
            self.send(&Frame::Pool { exclusive, shared });
            self.outputs.push_back(RelayOutput::Wanted { exclusive, shared });
        }
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
        self.outputs.push_back(RelayOutput::Closed(error));
    }
}
