mod conn;
mod visits;

use std::time::{Duration, Instant};

use bytes::Bytes;
use conn::{AgentEnd, Conn, RelayEnd};
use doorstep_proto::tunnel::{
    AgentInput, AgentKey, AgentOutput, Claim, ClaimTable, Code, DataInput, DataLink, Grant, Purpose, Quota, RelayInput,
    RelayOutput, Role, SessionId, Sharing, Taken, Welcome,
};
use visits::Visits;

pub const CLAIM: u32 = 1;
const KEY: AgentKey = [5; 32];

pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// One agent, one relay, and the network between them.
pub struct World {
    random: Random,
    now: Instant,
    conns: Vec<Conn>,
    visits: Visits,
    table: ClaimTable,
    sessions: u8,
    /// Since when nothing passes.
    silent: Option<Instant>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
        (0..8).for_each(|_| _ = random.next());
        Self {
            random,
            now: Instant::now() + Duration::from_secs(3600),
            conns: Vec::new(),
            visits: Visits::default(),
            table: ClaimTable::new("tun.example.com", 4000..=4010),
            sessions: 0,
            silent: None,
        }
    }

    pub fn steps(&mut self) -> usize {
        100 + self.random.below(500)
    }

    /// One thing happens, anywhere.
    pub fn step(&mut self) {
        if !self.conns.iter().any(|conn| conn.is_control() && !conn.agent_gone()) {
            self.dial(Purpose::Control);
        }
        let at = self.random.below(self.conns.len());
        let amount = self.random.next();
        match self.random.below(100) {
            0..44 => self.conns[at].shuffle(&mut self.random, self.now, self.silent.is_some()),
            44..50 => drop(self.visit()),
            50..72 => self.visits.act(&mut self.conns[at], at, &mut self.random, self.now),
            72..80 => self.pass(Duration::from_millis(amount % 400)),
            80..84 => self.conns[at].pause(&mut self.random, self.now),
            84..86 => self.conns[at].cut(),
            86 => self.pass(Duration::from_secs(amount % 20)),
            87 => self.now -= Duration::from_secs(amount % 5),
            88 if self.random.one_in(3) => self.dial(Purpose::Control),
            89 => self.silent = self.silent.is_none().then_some(self.now),
            90 => self.visits.reset(&mut self.conns[at], at, &mut self.random, self.now),
            _ => self.conns[at].shuffle(&mut self.random, self.now, self.silent.is_some()),
        }
        self.drain();
        let visits = &self.visits;
        let mut index = 0;
        self.conns.iter_mut().for_each(|conn| {
            if conn.is_dead() && !visits.uses(index) {
                conn.bury();
            }
            index += 1;
        });
    }

    pub fn check(&self) {
        self.visits.check();
        self.conns.iter().for_each(Conn::check);
    }

    /// The network is good again: everything under way ends, and a new visitor is served whole.
    pub fn heal_and_finish(&mut self) {
        self.silent = None;
        self.conns.iter_mut().for_each(|conn| conn.resume(self.now));
        self.visits.finish_all();
        let mut served = None;
        for round in 0..20_000 {
            self.step_fairly();
            self.check();
            if served.is_none() && round > 200 {
                served = self.visit();
                self.visits.finish_all();
            }
            if self.visits.all_over() && served.is_some_and(|tag| self.visits.whole(tag)) {
                return;
            }
            if served.is_some_and(|tag| self.visits.broken(tag)) {
                served = None;
            }
        }
        panic!("no progress: {}", self.visits.describe());
    }

    fn step_fairly(&mut self) {
        if !self.conns.iter().any(|conn| conn.is_control() && !conn.agent_gone()) {
            self.dial(Purpose::Control);
        }
        for at in 0..self.conns.len() {
            self.conns[at].shuffle(&mut self.random, self.now, false);
            self.visits.act(&mut self.conns[at], at, &mut self.random, self.now);
            self.drain();
        }
        self.pass(Duration::from_millis(20));
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for conn in &mut self.conns {
            conn.timeouts(self.now);
        }
        self.drain();
        if let Some(since) = self.silent
            && self.now >= since + Duration::from_secs(10)
        {
            for conn in &self.conns {
                conn.check_noticed(since);
            }
        }
    }

    fn dial(&mut self, purpose: Purpose) {
        let conn = Conn::dial(self.now, &mut self.random, KEY, purpose);
        match self.conns.iter_mut().find(|conn| conn.is_buried()) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
    }

    /// A visitor comes, if the name is served.
    fn visit(&mut self) -> Option<u32> {
        let (session, claim) = self.table.serving(&Taken::Name("blog.tun.example.com".into()))?;
        let start = self.random.below(self.conns.len());
        let count = self.conns.len();
        let order = (0..count).map(|at| (at + start) % count);
        for at in order {
            if self.conns[at].session == Some(session)
                && let RelayEnd::Data(link) = &mut self.conns[at].relay
                && let Some(tag) = self.visits.open(link, at, claim, self.now)
            {
                return Some(tag);
            }
        }
        None
    }

    fn drain(&mut self) {
        while (0..self.conns.len()).any(|at| {
            let agent = self.drain_agent(at);
            self.drain_relay(at) || agent
        }) {}
    }

    fn drain_agent(&mut self, at: usize) -> bool {
        let now = self.now;
        let conn = &mut self.conns[at];
        if let Some(welcome) = conn.drain_agent_greeting() {
            conn.agent_welcomed(now, welcome, CLAIM, Claim::Http { name: "blog".into(), label: String::new() });
            if let (Purpose::Data { session, sharing }, false) = (conn.purpose.clone(), conn.is_control()) {
                self.tell_agent(session, AgentInput::DataOpened(sharing));
            }
            return true;
        }
        match &mut self.conns[at].agent {
            AgentEnd::Control(session) => match session.poll_output() {
                Some(AgentOutput::Dial(sharing)) => {
                    let session = self.conns[at].session.expect("a welcomed session");
                    self.dial(Purpose::Data { session, sharing });
                    true
                }
                Some(AgentOutput::Closed(_)) => {
                    self.conns[at].agent_over = true;
                    let session = self.conns[at].session;
                    for conn in self.conns.iter_mut().filter(|conn| conn.session == session) {
                        conn.end_agent(now);
                    }
                    true
                }
                Some(AgentOutput::Denied { error, .. }) => panic!("the owner is denied its own name: {error}"),
                other => other.is_some(),
            },
            AgentEnd::Data(link) => match link.poll_output() {
                Some(output) => {
                    let over = self.visits.output(Role::Agent, at, link, output);
                    if over {
                        self.conns[at].agent_over = true;
                        self.lost(at);
                    }
                    true
                }
                None => false,
            },
            AgentEnd::Greeting(_) => {
                let failed = self.conns[at].take_agent_failure();
                if failed {
                    self.lost(at);
                }
                failed
            }
        }
    }

    fn lost(&mut self, at: usize) {
        if let Purpose::Data { session, sharing } = self.conns[at].purpose {
            let input = match self.conns[at].agent {
                AgentEnd::Data(_) => AgentInput::DataClosed(sharing),
                _ => AgentInput::DialFailed(sharing),
            };
            self.tell_agent(session, input);
        }
    }

    fn tell_agent(&mut self, id: SessionId, input: AgentInput) {
        for conn in &mut self.conns {
            if conn.session == Some(id)
                && let AgentEnd::Control(session) = &mut conn.agent
            {
                return session.handle_input(self.now, input);
            }
        }
    }

    fn drain_relay(&mut self, at: usize) -> bool {
        let now = self.now;
        if let Some(question) = self.conns[at].drain_relay_greeting() {
            assert!(conn::genuine(&question), "a proof that was not made for this connection");
            let session = match question.purpose {
                Purpose::Data { session, .. } => {
                    let live = self.conns.iter().any(|conn| {
                        conn.session == Some(session) && matches!(conn.relay, RelayEnd::Control(_)) && !conn.relay_over
                    });
                    if !live {
                        self.conns[at].relay_refuse(Code::UnknownSession);
                        return true;
                    }
                    session
                }
                _ => {
                    self.sessions = self.sessions.wrapping_add(1);
                    SessionId([self.sessions; 16])
                }
            };
            self.conns[at].session = Some(session);
            let (agent, domain, software) = ("studio".into(), "tun.example.com".into(), "sim".into());
            self.conns[at].relay_admit(now, Welcome { version: 1, session, agent, domain, software });
            return true;
        }
        match &mut self.conns[at].relay {
            RelayEnd::Control(session) => match session.poll_output() {
                Some(RelayOutput::Claim { id, claim }) => {
                    let session = self.conns[at].session.expect("an admitted session");
                    let quota = Quota { names: 1, ports: 0, patterns: Vec::new() };
                    let (_, evicts) = self.table.claim((session, id), KEY, &claim, "", &quota).expect("its own name");
                    self.relay_input(session, RelayInput::Grant { id, grant: grant() });
                    if let Some(old) = evicts {
                        assert_ne!(old, session);
                        self.relay_input(old, RelayInput::End(Code::Evicted.into()));
                    }
                    true
                }
                Some(RelayOutput::Closed(_)) => {
                    self.conns[at].relay_over = true;
                    let session = self.conns[at].session.expect("an admitted session");
                    self.table.end_session(session);
                    for conn in self.conns.iter_mut().filter(|conn| conn.session == Some(session)) {
                        conn.end_relay(now);
                    }
                    true
                }
                Some(RelayOutput::Released { id }) => {
                    let session = self.conns[at].session.expect("an admitted session");
                    self.table.release(session, id);
                    true
                }
                other => other.is_some(),
            },
            RelayEnd::Data(link) => match link.poll_output() {
                Some(output) => {
                    if self.visits.output(Role::Relay, at, link, output) {
                        self.conns[at].relay_over = true;
                    }
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn relay_input(&mut self, id: SessionId, input: RelayInput) {
        for conn in &mut self.conns {
            if conn.session == Some(id)
                && let RelayEnd::Control(session) = &mut conn.relay
            {
                return session.handle_input(self.now, input);
            }
        }
    }
}

fn grant() -> Grant {
    Grant { host: "blog.tun.example.com".into(), port: 443, lease: Duration::from_secs(60) }
}

pub fn data_link(now: Instant, role: Role, sharing: Sharing, rest: Bytes) -> DataLink {
    let mut link = DataLink::new(now, role, sharing);
    link.allow(CLAIM, false);
    link.handle_input(now, DataInput::Received(rest));
    link
}
