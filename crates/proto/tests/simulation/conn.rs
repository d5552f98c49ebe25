use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorstep_proto::tunnel::{
    AgentGreeting, AgentGreetingOutput, AgentInput, AgentKey, AgentSession, Authenticate, Claim, Code, DataInput,
    DataLink, Purpose, RelayGreeting, RelayGreetingOutput, RelayInput, RelaySession, Role, SessionId, Sharing, Welcome,
    limits,
};

use super::{Random, data_link};

pub enum AgentEnd {
    Greeting(AgentGreeting),
    Control(AgentSession),
    Data(DataLink),
}

pub enum RelayEnd {
    Greeting(RelayGreeting),
    Control(RelaySession),
    Data(DataLink),
}

/// One connection: a machine at each end, and the bytes between.
pub struct Conn {
    pub purpose: Purpose,
    pub session: Option<SessionId>,
    pub agent: AgentEnd,
    pub relay: RelayEnd,
    /// Its machine is finished.
    pub agent_over: bool,
    pub relay_over: bool,
    agent_rest: Bytes,
    relay_rest: Bytes,
    to_relay: Way,
    to_agent: Way,
    agent_paused: bool,
    relay_paused: bool,
    agent_failed: bool,
    buried: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    outbox: VecDeque<Bytes>,
    pipe: VecDeque<u8>,
    room: usize,
    /// The sender closed; the receiver has seen it.
    ended: bool,
    told: bool,
}

impl Conn {
    pub fn dial(now: Instant, random: &mut Random, key: AgentKey, purpose: Purpose) -> Self {
        let exporter = std::array::from_fn(|_| random.next() as u8);
        let mut way = || Way { room: 64 + random.below(6000), ..Way::default() };
        let session = match purpose {
            Purpose::Data { session, .. } => Some(session),
            _ => None,
        };
        Self {
            session,
            agent: AgentEnd::Greeting(AgentGreeting::new(now, exporter, key, purpose.clone(), "sim")),
            relay: RelayEnd::Greeting(RelayGreeting::new(now, exporter)),
            purpose,
            agent_over: false,
            relay_over: false,
            agent_rest: Bytes::new(),
            relay_rest: Bytes::new(),
            to_relay: way(),
            to_agent: way(),
            agent_paused: false,
            relay_paused: false,
            agent_failed: false,
            buried: false,
        }
    }

    pub fn is_control(&self) -> bool {
        self.purpose == Purpose::Control && !self.buried
    }

    pub fn agent_gone(&self) -> bool {
        self.agent_over
    }

    pub fn is_dead(&self) -> bool {
        self.agent_over && self.relay_over
    }

    pub fn is_buried(&self) -> bool {
        self.buried
    }

    pub fn bury(&mut self) {
        self.buried = true;
        self.session = None;
    }

    /// Some bytes move: into the network, or out of it.
    pub fn shuffle(&mut self, random: &mut Random, now: Instant, silent: bool) {
        if self.buried {
            return;
        }
        for _ in 0..1 + random.below(6) {
            match random.below(4) {
                0 => self.write_agent(random, now),
                1 => self.write_relay(random, now),
                2 if !silent && !self.relay_paused => self.read_relay(random, now),
                3 if !silent && !self.agent_paused => self.read_agent(random, now),
                _ => {}
            }
        }
    }

    fn write_agent(&mut self, random: &mut Random, now: Instant) {
        let more = match &mut self.agent {
            _ if !self.to_relay.outbox.is_empty() => None,
            AgentEnd::Greeting(_) => None,
            AgentEnd::Control(session) => session.poll_transmit(),
            AgentEnd::Data(link) => link.poll_transmit(now),
        };
        let nothing = more.is_none();
        self.to_relay.write(random, more);
        self.to_relay.ended |= nothing && self.agent_over && self.to_relay.outbox.is_empty();
    }

    fn write_relay(&mut self, random: &mut Random, now: Instant) {
        let more = match &mut self.relay {
            _ if !self.to_agent.outbox.is_empty() => None,
            RelayEnd::Greeting(_) => None,
            RelayEnd::Control(session) => session.poll_transmit(),
            RelayEnd::Data(link) => link.poll_transmit(now),
        };
        let nothing = more.is_none();
        self.to_agent.write(random, more);
        self.to_agent.ended |= nothing && self.relay_over && self.to_agent.outbox.is_empty();
    }

    fn read_relay(&mut self, random: &mut Random, now: Instant) {
        let (bytes, closed) = self.to_relay.read(random);
        match &mut self.relay {
            RelayEnd::Greeting(greeting) => {
                bytes.into_iter().for_each(|bytes| greeting.received(bytes));
                if closed {
                    greeting.closed();
                }
            }
            RelayEnd::Control(session) => {
                bytes.into_iter().for_each(|bytes| session.handle_input(now, RelayInput::Received(bytes)));
                if closed {
                    session.handle_input(now, RelayInput::Closed);
                }
            }
            RelayEnd::Data(link) => {
                bytes.into_iter().for_each(|bytes| link.handle_input(now, DataInput::Received(bytes)));
                if closed {
                    link.handle_input(now, DataInput::Closed);
                }
            }
        }
    }

    fn read_agent(&mut self, random: &mut Random, now: Instant) {
        let (bytes, closed) = self.to_agent.read(random);
        match &mut self.agent {
            AgentEnd::Greeting(greeting) => {
                bytes.into_iter().for_each(|bytes| greeting.received(bytes));
                if closed {
                    greeting.closed();
                }
            }
            AgentEnd::Control(session) => {
                bytes.into_iter().for_each(|bytes| session.handle_input(now, AgentInput::Received(bytes)));
                if closed {
                    session.handle_input(now, AgentInput::Closed);
                }
            }
            AgentEnd::Data(link) => {
                bytes.into_iter().for_each(|bytes| link.handle_input(now, DataInput::Received(bytes)));
                if closed {
                    link.handle_input(now, DataInput::Closed);
                }
            }
        }
    }

    pub fn drain_agent_greeting(&mut self) -> Option<Welcome> {
        let AgentEnd::Greeting(greeting) = &mut self.agent else { return None };
        while let Some(output) = greeting.poll_output() {
            match output {
                AgentGreetingOutput::Sign(text) => greeting.signed(sign(&text)),
                AgentGreetingOutput::Transmit(bytes) => self.to_relay.outbox.push_back(bytes),
                AgentGreetingOutput::Welcomed { welcome, rest } => {
                    self.agent_rest = rest;
                    return Some(welcome);
                }
                AgentGreetingOutput::Failed(_) => (self.agent_over, self.agent_failed) = (true, true),
            }
        }
        None
    }

    pub fn agent_welcomed(&mut self, now: Instant, welcome: Welcome, id: u32, claim: Claim) {
        self.session = Some(welcome.session);
        let rest = std::mem::take(&mut self.agent_rest);
        self.agent = match self.purpose {
            Purpose::Data { sharing, .. } => AgentEnd::Data(data_link(now, Role::Agent, sharing, rest)),
            _ => {
                let mut session = AgentSession::new(now, 7);
                assert_eq!(session.claim(claim), Some(id));
                session.handle_input(now, AgentInput::Received(rest));
                AgentEnd::Control(session)
            }
        };
    }

    pub fn take_agent_failure(&mut self) -> bool {
        std::mem::take(&mut self.agent_failed)
    }

    pub fn drain_relay_greeting(&mut self) -> Option<Authenticate> {
        let RelayEnd::Greeting(greeting) = &mut self.relay else { return None };
        while let Some(output) = greeting.poll_output() {
            match output {
                RelayGreetingOutput::Authenticate(question) => return Some(question),
                RelayGreetingOutput::Transmit(bytes) => self.to_agent.outbox.push_back(bytes),
                RelayGreetingOutput::Admitted { rest } => self.relay_rest = rest,
                RelayGreetingOutput::Failed(_) => self.relay_over = true,
            }
        }
        None
    }

    pub fn relay_refuse(&mut self, code: Code) {
        if let RelayEnd::Greeting(greeting) = &mut self.relay {
            greeting.refuse(code.into());
        }
    }

    pub fn relay_admit(&mut self, now: Instant, welcome: Welcome) {
        if let RelayEnd::Greeting(greeting) = &mut self.relay {
            greeting.admit(welcome);
        }
        assert!(self.drain_relay_greeting().is_none());
        let rest = std::mem::take(&mut self.relay_rest);
        self.relay = match self.purpose {
            Purpose::Data { sharing, .. } => RelayEnd::Data(data_link(now, Role::Relay, sharing, rest)),
            _ => {
                let mut session = RelaySession::new(now, limits::MAX_DATA_CONNS);
                session.handle_input(now, RelayInput::Received(rest));
                RelayEnd::Control(session)
            }
        };
    }

    pub fn timeouts(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match &mut self.agent {
            AgentEnd::Greeting(end) if due(end.poll_timeout()) => end.handle_timeout(now),
            AgentEnd::Control(end) if due(end.poll_timeout()) => {
                end.handle_timeout(now);
                assert!(!due(end.poll_timeout()), "the agent's timeout was not handled");
            }
            AgentEnd::Data(end) if due(end.poll_timeout()) => {
                end.handle_timeout(now);
                assert!(!due(end.poll_timeout()), "the agent's link's timeout was not handled");
            }
            _ => {}
        }
        match &mut self.relay {
            RelayEnd::Greeting(end) if due(end.poll_timeout()) => end.handle_timeout(now),
            RelayEnd::Control(end) if due(end.poll_timeout()) => {
                end.handle_timeout(now);
                assert!(!due(end.poll_timeout()), "the relay's timeout was not handled");
            }
            RelayEnd::Data(end) if due(end.poll_timeout()) => {
                end.handle_timeout(now);
                assert!(!due(end.poll_timeout()), "the relay's link's timeout was not handled");
            }
            _ => {}
        }
    }

    pub fn pause(&mut self, random: &mut Random, now: Instant) {
        if !matches!(self.purpose, Purpose::Data { sharing: Sharing::Exclusive, .. }) {
            return;
        }
        let input = |paused: bool| if paused { DataInput::Paused } else { DataInput::Resumed };
        match (&mut self.agent, &mut self.relay) {
            (AgentEnd::Data(link), _) if random.one_in(2) => {
                self.agent_paused = !self.agent_paused;
                link.handle_input(now, input(self.agent_paused));
            }
            (_, RelayEnd::Data(link)) => {
                self.relay_paused = !self.relay_paused;
                link.handle_input(now, input(self.relay_paused));
            }
            _ => {}
        }
    }

    pub fn resume(&mut self, now: Instant) {
        (self.agent_paused, self.relay_paused) = (false, false);
        if let AgentEnd::Data(link) = &mut self.agent {
            link.handle_input(now, DataInput::Resumed);
        }
        if let RelayEnd::Data(link) = &mut self.relay {
            link.handle_input(now, DataInput::Resumed);
        }
    }

    /// The network loses the connection, and whatever is under way on it.
    pub fn cut(&mut self) {
        for way in [&mut self.to_agent, &mut self.to_relay] {
            way.pipe.clear();
            way.outbox.clear();
            way.ended = true;
        }
    }

    pub fn end_agent(&mut self, now: Instant) {
        match &mut self.agent {
            AgentEnd::Data(link) => link.close(Code::Done),
            AgentEnd::Greeting(greeting) => greeting.closed(),
            AgentEnd::Control(session) => session.handle_input(now, AgentInput::Closed),
        }
    }

    pub fn end_relay(&mut self, now: Instant) {
        match &mut self.relay {
            RelayEnd::Data(link) => link.close(Code::Done),
            RelayEnd::Greeting(greeting) => greeting.closed(),
            RelayEnd::Control(session) => session.handle_input(now, RelayInput::Closed),
        }
    }

    /// Memory is bounded.
    pub fn check(&self) {
        let most = |link: &DataLink| {
            let streams = link.streams().max(1);
            assert!(link.held() <= streams * limits::SEND_QUEUE + 300_000, "{} bytes held", link.held());
            assert!(streams <= 2 * limits::MAX_STREAMS);
        };
        if let AgentEnd::Data(link) = &self.agent {
            most(link);
        }
        if let RelayEnd::Data(link) = &self.relay {
            most(link);
        }
    }

    /// Nothing passed since `since`, 10 seconds ago at least: whoever was there before knows.
    pub fn check_noticed(&self, since: Instant) {
        let margin = |at: Option<Instant>| at.is_none_or(|at| at > since + Duration::from_secs(1));
        match &self.agent {
            AgentEnd::Control(session) => assert!(margin(session.poll_timeout()), "the agent waits for the dead"),
            AgentEnd::Data(link) if !self.agent_paused => assert!(margin(link.poll_timeout()), "the agent's link too"),
            _ => {}
        }
        if let RelayEnd::Control(session) = &self.relay {
            assert!(margin(session.poll_timeout()), "the relay waits for the dead");
        }
    }
}

impl Way {
    fn write(&mut self, random: &mut Random, more: Option<Bytes>) {
        self.outbox.extend(more.filter(|_| !self.ended));
        let room = self.room.saturating_sub(self.pipe.len());
        if let Some(front) = self.outbox.front_mut() {
            let part = front.split_to((1 + random.below(2000)).min(front.len()).min(room));
            self.pipe.extend(part.iter());
            if front.is_empty() {
                self.outbox.pop_front();
            }
        }
    }

    fn read(&mut self, random: &mut Random) -> (Option<Bytes>, bool) {
        let count = (1 + random.below(2500)).min(self.pipe.len());
        let bytes: Bytes = self.pipe.drain(..count).collect();
        let closed = bytes.is_empty() && self.ended && !std::mem::replace(&mut self.told, self.ended);
        ((!bytes.is_empty()).then_some(bytes), closed)
    }
}

/// A stand-in for Ed25519: whoever has the text can make it, but only for this text.
fn sign(text: &[u8]) -> [u8; 64] {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    text.iter().for_each(|byte| state = (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    std::array::from_fn(|at| (state >> (at % 8 * 8)) as u8)
}

pub fn genuine(question: &Authenticate) -> bool {
    question.signature == sign(&question.transcript)
}
