use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorstep_net::{Drain, NetworkChanges};
use doorstep_proto::tunnel::{Claim, Code, TunnelError};
use doorstep_tunnel::{AgentEvent, Target};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::plan::{Memory, plan};
use super::probe::Reach;
use super::said::Said;
use super::session::Session;
use super::urls::{plain, urls};
use super::visitors::{Door, idle, public};
use super::{ClientOptions, Fault, Program, Status, Style, builtin, system, words};
use crate::limits::{AGAIN_FIRST, AGAIN_LAST, LEAVE, NOTICES, PORT_ATTEMPTS, SESSION_MESSAGES, STOOD, URLS};

pub(super) struct Agent {
    options: ClientOptions,
    program: Option<PathBuf>,
    targets: Vec<Target>,
    doors: Vec<Door>,
    events: mpsc::UnboundedSender<AgentEvent>,
    status: Arc<Mutex<Status>>,
    memory: Memory,
    style: Option<Style>,
    /// The server as it is called, and its host as visitors know it.
    relay: String,
    host: String,
    /// A session stood once: a fault that usually lasts may then be the server's passing trouble.
    stood: bool,
    /// Where the server lends a port to itself only, or out of our reach, that was said.
    told: Vec<bool>,
    drain: Drain,
}

/// How an attempt ended.
enum Ended {
    Fault(Fault),
    /// The server is of another kind than was thought.
    OtherStyle(Style),
    /// A port that was ours is somebody else's, perhaps our own lost session's.
    PortTaken {
        target: usize,
        port: u16,
    },
}

impl Agent {
    pub fn new(
        options: ClientOptions,
        targets: Vec<Target>,
        events: mpsc::UnboundedSender<AgentEvent>,
        drain: Drain,
        status: Arc<Mutex<Status>>,
    ) -> Self {
        let relay = options.server.to_string();
        Self {
            program: system::program(&options),
            doors: targets.iter().map(|target| Door::new(target.clone(), drain.clone())).collect(),
            memory: Memory::new(&targets, &options.ports, &relay),
            style: options.style,
            host: options.server.host.clone(),
            told: vec![false; targets.len()],
            relay,
            options,
            targets,
            events,
            status,
            stood: false,
            drain,
        }
    }

    pub async fn run(mut self, mut left: watch::Receiver<bool>) {
        let (idle, drain) = (idle(&self.doors), self.drain.clone());
        let leaving = async {
            let _ = left.wait_for(|left| *left).await;
            tokio::select! {
                () = idle => {}
                () = drain.hurried() => {}
                () = sleep(LEAVE) => {}
            }
        };
        tokio::select! {
            () = self.forever() => {}
            () = leaving => {}
        }
        self.offline(None);
    }

    /// Ends only when it is over for good.
    async fn forever(&mut self) {
        if let Some(program) = &self.program
            && let Some(host) = system::host_name(program, &self.options).await
        {
            self.host = host;
        }
        let (mut pause, mut turned) = (AGAIN_FIRST, false);
        let mut changes = NetworkChanges::watch();
        loop {
            self.tell(AgentEvent::Connecting { relay: self.relay.clone() });
            let begun = Instant::now();
            let ended = self.attempt().await;
            if begun.elapsed() >= STOOD {
                (pause, turned) = (AGAIN_FIRST, false);
            }
            let why = match ended {
                Ended::OtherStyle(style) => {
                    self.style = Some(style);
                    if !std::mem::replace(&mut turned, true) {
                        continue;
                    }
                    "the server is of another kind each time".to_owned()
                }
                Ended::Fault(fault) if fault.lasts() && (!self.stood || fault.lasts_after_all()) => {
                    self.stop(&fault);
                    return;
                }
                Ended::Fault(fault) => fault.to_string(),
                Ended::PortTaken { target, port } => match self.wait_for_port(target, port) {
                    Some(why) => why,
                    None => continue,
                },
            };
            let again_in = jittered(pause);
            pause = (pause * 2).min(AGAIN_LAST);
            self.offline(Some(why.clone()));
            self.tell(AgentEvent::Offline { relay: self.relay.clone(), why, again_in });
            tokio::select! {
                () = sleep(again_in) => {}
                // What kept it from standing may be over.
                _ = changes.next() => pause = AGAIN_FIRST,
            }
        }
    }

    /// Why to wait, or none to ask for another port at once.
    fn wait_for_port(&mut self, target: usize, port: u16) -> Option<String> {
        let had = self.memory.had(target).is_some();
        let insists =
            self.targets.get(target).is_some_and(|it| self.memory.insists(target, &self.options.ports, &it.claim));
        if insists || had && self.memory.refused(target) <= PORT_ATTEMPTS {
            return Some(format!("port {port} is in use on the server, perhaps by our own session that broke"));
        }
        if had {
            self.notice(format!("port {port} is still in use on the server: it lends another one from now on"));
        }
        self.memory.let_go(target);
        None
    }

    async fn attempt(&mut self) -> Ended {
        let (plan, refused) = plan(self.style, &self.targets, &self.memory);
        for (target, why) in refused {
            if !std::mem::replace(&mut self.told[target], true) {
                self.tell(AgentEvent::Refused { target, why });
            }
        }
        let (said, mut hears) = mpsc::channel(SESSION_MESSAGES);
        let (program, options, targets) = (self.program.clone(), self.options.clone(), self.targets.len());
        let planned = plan.clone();
        let session = async move {
            match (&program, &options.program) {
                (Some(program), _) => system::run(program, &options, &planned, targets, &said).await,
                (None, Program::Builtin(keys)) => builtin::run(&options.server, keys, &planned, &said).await,
                (None, _) => builtin::run(&options.server, &super::Builtin::default(), &planned, &said).await,
            }
        };
        tokio::pin!(session);
        let mut state = Session::new(plan.wishes.len(), self.targets.len());
        loop {
            let said = tokio::select! {
                biased;
                said = hears.recv() => said,
                fault = &mut session => {
                    // What it said before it ended.
                    while let Ok(said) = hears.try_recv() {
                        if let Some(ended) = self.hear(said, &mut state) {
                            return ended;
                        }
                    }
                    return Ended::Fault(fault);
                }
                Some((target, reach)) = state.reached.recv() => {
                    self.reached(target, reach, &state);
                    continue;
                }
                () = sleep_until(state.deadline), if state.is_late() => {
                    return Ended::Fault(Fault::Unreachable("it does not answer in time".to_owned()));
                }
            };
            let Some(said) = said else { return Ended::Fault((&mut session).await) };
            if let Some(ended) = self.hear(said, &mut state) {
                return ended;
            }
        }
    }

    fn hear(&mut self, said: Said, state: &mut Session) -> Option<Ended> {
        match said {
            Said::Software(software) => {
                let style = self.options.style.unwrap_or_else(|| Style::of(&software));
                if style != self.style.unwrap_or(Style::Stock) {
                    return Some(Ended::OtherStyle(style));
                }
                self.style = Some(style);
            }
            Said::Authenticated(address) => {
                state.server = address;
                state.authenticated();
                if state.open == 0 {
                    self.online();
                }
            }
            Said::Granted { target, port } => {
                state.answered();
                if let Some(known) = state.ports.get_mut(target) {
                    *known = port;
                }
                if !self.lends() || matches!(self.targets.get(target).map(|it| &it.claim), Some(Claim::Tcp { .. })) {
                    self.memory.granted(target, port);
                }
                if state.open == 0 {
                    self.online();
                }
                if !self.lends() {
                    state.probe(target, self.host.clone(), port);
                }
            }
            Said::Refused { target } => {
                state.answered();
                if let Some(ended) = self.refused(target) {
                    return Some(ended);
                }
                if state.open == 0 {
                    self.online();
                }
            }
            Said::Line(line) => self.line(&line, state),
            Said::Visitor { target, io, peer } => {
                let port = state.ports.get(target).copied().unwrap_or(0);
                let probe = state.probes.get(target).cloned().flatten().filter(|probe| !probe.is_over());
                if let Some(door) = self.doors.get(target) {
                    door.let_in(io, peer, public(state.server, port), self.lends(), probe);
                }
            }
        }
        None
    }

    fn lends(&self) -> bool {
        self.style == Some(Style::Lender)
    }

    fn refused(&mut self, target: usize) -> Option<Ended> {
        let port = self.memory.port(target);
        if !self.lends() && port != 0 {
            let first = !std::mem::replace(self.told.get_mut(target)?, true);
            let insists = self.memory.insists(target, &self.options.ports, &self.targets.get(target)?.claim);
            if insists && first {
                let why = TunnelError::new(Code::PortTaken, words::port_refused(port));
                self.tell(AgentEvent::Refused { target, why });
            }
            return Some(Ended::PortTaken { target, port });
        }
        let why = if self.lends() {
            TunnelError::new(Code::NameNotAllowed, "the server's own words are above, if it said any")
        } else {
            TunnelError::new(Code::PortNotAllowed, words::FORWARDING_FORBIDDEN)
        };
        self.tell(AgentEvent::Refused { target, why });
        None
    }

    /// What a lender prints: addresses, and words until it has named them all.
    fn line(&mut self, line: &str, state: &mut Session) {
        let named = state.named;
        for url in urls(line) {
            if state.urls.len() < URLS && !state.urls.contains(&url) {
                state.urls.push(url);
            }
        }
        for (target, address) in words::of_targets(&state.urls, self.targets.iter().map(|target| &target.claim)) {
            self.lent(target, address);
            state.named = true;
        }
        let text = plain(line);
        if !named && urls(line).is_empty() && !text.trim().is_empty() && state.notices < NOTICES {
            state.notices += 1;
            self.notice(text.trim().to_owned());
        }
    }

    fn reached(&mut self, target: usize, reach: Reach, state: &Session) {
        let Some(claim) = self.targets.get(target).map(|target| &target.claim) else { return };
        let port = state.ports.get(target).copied().unwrap_or(0);
        if reach == Reach::Ours {
            self.lent(target, words::address(claim, &self.host, port));
            return;
        }
        let text = words::unreached(&reach, claim, &self.host, port, &system::by_hand(&self.options.server));
        self.status.lock().trouble = Some(text.clone());
        if !std::mem::replace(&mut self.told[target], true) {
            self.notice(text);
        }
    }

    fn lent(&mut self, target: usize, address: String) {
        if let Some(known) = self.status.lock().addresses.get_mut(target)
            && known.replace(address.clone()).as_ref() == Some(&address)
        {
            return;
        }
        self.tell(AgentEvent::Lent { target, address });
    }

    fn online(&mut self) {
        self.stood = true;
        {
            let mut status = self.status.lock();
            if std::mem::replace(&mut status.online, true) {
                return;
            }
            status.trouble = None;
        }
        let name = self.options.server.user.clone().unwrap_or_default();
        self.tell(AgentEvent::Online { relay: self.relay.clone(), name });
    }

    fn offline(&self, trouble: Option<String>) {
        let mut status = self.status.lock();
        status.online = false;
        status.addresses.fill(None);
        status.trouble = trouble;
    }

    fn stop(&self, fault: &Fault) {
        self.offline(Some(fault.to_string()));
        self.status.lock().stopped = true;
        let fix = fault.fix(&system::by_hand(&self.options.server));
        self.tell(AgentEvent::Stopped { why: fault.to_string(), fix });
    }

    fn notice(&self, text: String) {
        self.tell(AgentEvent::Notice { relay: self.relay.clone(), text });
    }

    fn tell(&self, event: AgentEvent) {
        // Nobody listens any more: visitors are served all the same.
        let _ = self.events.send(event);
    }
}

/// Up to a quarter less, so that agents that lost the same server do not come back as one.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    pause - pause / 4 * u32::from(random[0]) / 256
}
