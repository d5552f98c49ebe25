use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use doorstep_proto::tunnel::{AgentKey, Claim, SessionId, TunnelError};
use doorstep_tunnel::registry::Agent;
use parking_lot::Mutex;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf, Disconnect};
use tokio::time::sleep;

use super::Shared;
use super::carrier::SshCarrier;
use super::channels::Channels;
use super::forward::{self, Forward};
use super::terminal::{Line, LogLines, Terminal};
use crate::channel::Pace;
use crate::limits::{FAREWELL, FORWARDS, RESETS, TERMINAL_LINES, TERMINALS};

/// One client of the gateway.
pub(super) struct Session {
    gateway: Arc<Shared>,
    peer: SocketAddr,
    pace: Arc<Pace>,
    /// Set once the key was proven.
    known: OnceLock<Known>,
    state: Mutex<State>,
    channels: Channels,
    resets: AtomicUsize,
}

struct Known {
    agent: Agent,
    id: SessionId,
    handle: Handle,
}

#[derive(Default)]
struct State {
    forwards: Vec<Forward>,
    /// The number of the last claim.
    last: u32,
    terminals: Vec<Terminal>,
    /// What terminals are told that are not there yet.
    told: Vec<Line>,
    ended: bool,
}

impl Session {
    pub fn new(gateway: Arc<Shared>, peer: SocketAddr, pace: Arc<Pace>) -> Self {
        Self {
            gateway,
            peer,
            channels: Channels::new(pace.clone()),
            pace,
            known: OnceLock::new(),
            state: Mutex::default(),
            resets: AtomicUsize::new(0),
        }
    }

    pub fn gateway(&self) -> &Shared {
        &self.gateway
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub fn handle(&self) -> Option<&Handle> {
        self.known.get().map(|known| &known.handle)
    }

    /// The key was proven: the session begins.
    ///
    /// # Errors
    /// The registry takes no further session of the agent.
    pub fn begin(self: &Arc<Self>, agent: Agent, software: &str, handle: Handle) -> Result<(), TunnelError> {
        let id = self.gateway.registry.begin_session(&agent, self.peer, software)?;
        self.gateway.sessions.lock().insert(id, Arc::downgrade(self));
        // Nobody begins twice: russh authenticates once.
        let _ = self.known.set(Known { agent, id, handle });
        Ok(())
    }

    pub fn is_known(&self) -> bool {
        self.known.get().is_some()
    }

    pub fn has_key(&self, key: &AgentKey) -> bool {
        self.known.get().is_some_and(|known| known.agent.key == *key)
    }

    pub fn has_id(&self, id: SessionId) -> bool {
        self.known.get().is_some_and(|known| known.id == id)
    }

    /// Ends the session if its key is not admitted any more.
    pub fn check_key(self: &Arc<Self>) {
        if let Some(known) = self.known.get()
            && let Err(error) = self.gateway.registry.authenticate(&known.agent.key)
        {
            self.end(&error.to_string());
        }
    }

    /// Lends what an `-R` asks for. Gives the port, or none where that was refused: the terminal is told why.
    pub async fn lend(self: &Arc<Self>, address: &str, port: u32) -> Option<u32> {
        let known = self.known.get()?;
        let written = forward::written(address, port);
        match self.try_lend(known, address, port).await {
            Ok(forward) => {
                let (port, host) = (forward.port, forward.name().map(str::to_owned));
                self.tell(Line::words(format!("{}  ({written})", forward.url)));
                let has_terminal = {
                    let mut state = self.state.lock();
                    state.forwards.push(forward);
                    !state.terminals.is_empty()
                };
                if let Some(host) = host.filter(|_| has_terminal) {
                    self.follow(&host);
                }
                Some(port)
            }
            Err(why) => {
                self.tell(Line::trouble(format!("{written} is refused: {why}")));
                None
            }
        }
    }

    async fn try_lend(self: &Arc<Self>, known: &Known, address: &str, port: u32) -> Result<Forward, String> {
        let id = {
            let mut state = self.state.lock();
            if state.forwards.len() >= FORWARDS {
                return Err(format!("a session has at most {FORWARDS} of them"));
            }
            if port != 0 && state.forwards.iter().any(|other| other.address == address && other.port == port) {
                return Err("it is lent already".to_owned());
            }
            state.last += 1;
            state.last
        };
        let claim = forward::claim(address, port)?;
        let carrier = Arc::new(SshCarrier::new(self.clone()));
        let claimed = self.gateway.registry.claim(known.id, id, &known.agent, &claim, carrier).await;
        let granted = claimed.map_err(|error| error.to_string())?;
        if let Some(other) = granted.evicts {
            self.gateway.evict(other);
        }
        let is_port = matches!(claim, Claim::Tcp { .. });
        let host = granted.grant.host;
        let url = match claim {
            Claim::Tcp { .. } => format!("tcp://{host}:{}", granted.grant.port),
            Claim::Tls { .. } => format!("https://{host}"),
            _ => self.gateway.url(&host),
        };
        let port = if port == 0 { granted.grant.port.into() } else { port };
        Ok(Forward { id, address: address.to_owned(), port, host, url, is_port })
    }

    /// What an `-R` asked for is not lent any more. Says whether it was.
    pub fn release(&self, address: &str, port: u32) -> bool {
        let Some(known) = self.known.get() else { return false };
        let mut state = self.state.lock();
        let Some(at) = state.forwards.iter().position(|it| it.address == address && it.port == port) else {
            return false;
        };
        let forward = state.forwards.remove(at);
        self.gateway.registry.release(known.id, forward.id);
        true
    }

    /// The relay took back what was lent.
    pub fn withdrawn(&self, claim: u32, error: &TunnelError) {
        let forward = {
            let mut state = self.state.lock();
            let at = state.forwards.iter().position(|forward| forward.id == claim);
            at.map(|at| state.forwards.remove(at))
        };
        if let Some(forward) = forward {
            self.tell(Line::trouble(format!("{} is not lent any more: {error}", forward.url)));
        }
    }

    pub fn forward(&self, claim: u32) -> Option<Forward> {
        self.state.lock().forwards.iter().find(|forward| forward.id == claim).cloned()
    }

    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// This side had to close a channel.
    pub fn reset(self: &Arc<Self>) {
        if self.resets.fetch_add(1, Ordering::Relaxed) == RESETS {
            self.end("this session has broken off as many visitors as one can; connect again");
        }
    }

    /// A terminal is there: it sees what was said so far, and requests from now on.
    pub fn open_terminal(self: &Arc<Self>, id: ChannelId, half: ChannelWriteHalf<Msg>, pty: bool) {
        let name = self.known.get().map_or_else(String::new, |known| known.agent.name.to_string());
        let hosts: Vec<String> = {
            let mut state = self.state.lock();
            let is_first = state.terminals.is_empty();
            let told = match is_first {
                true => std::mem::take(&mut state.told),
                false => state.forwards.iter().map(|forward| Line::words(forward.url.clone())).collect(),
            };
            let terminal = Terminal::start(id, half, pty);
            let domain = self.gateway.registry.domain();
            terminal.say(Line::words(format!("{domain} knows you as {name}. Ctrl-C ends it.")));
            if told.is_empty() {
                terminal.say(Line::words("Nothing is lent: add -R 80:localhost:PORT for what listens at PORT."));
            }
            for line in told {
                terminal.say(line);
            }
            state.terminals.push(terminal);
            // For a further one, they are followed already.
            state.forwards.iter().filter(|_| is_first).filter_map(|forward| Some(forward.name()?.to_owned())).collect()
        };
        for host in hosts {
            self.follow(&host);
        }
    }

    pub fn has_room_for_terminal(&self) -> bool {
        self.state.lock().terminals.len() < TERMINALS
    }

    pub fn close_terminal(&self, id: ChannelId) {
        self.state.lock().terminals.retain(|terminal| terminal.id != id);
    }

    pub fn is_terminal(&self, id: ChannelId) -> bool {
        self.state.lock().terminals.iter().any(|terminal| terminal.id == id)
    }

    fn follow(self: &Arc<Self>, host: &str) {
        self.gateway.options.surroundings.follow(host, LogLines::new(Arc::downgrade(self), host));
    }

    /// Whether a name is lent and somebody looks.
    pub fn is_followed(&self, host: &str) -> bool {
        let state = self.state.lock();
        !state.ended && !state.terminals.is_empty() && state.forwards.iter().any(|forward| forward.name() == Some(host))
    }

    /// Says something on all terminals; to those to come where there is none.
    pub fn tell(&self, line: Line) {
        let mut state = self.state.lock();
        if state.terminals.is_empty() && state.told.len() < TERMINAL_LINES {
            state.told.push(line);
            return;
        }
        for terminal in &state.terminals {
            terminal.say(line.clone());
        }
    }

    /// A line of the request log: where nobody looks, it is not kept.
    pub fn log(&self, text: &str) {
        for terminal in &self.state.lock().terminals {
            terminal.say(Line::words(text));
        }
    }

    /// Tells the client why, and ends the session.
    pub fn end(self: &Arc<Self>, why: &str) {
        if std::mem::replace(&mut self.state.lock().ended, true) {
            return;
        }
        self.tell(Line::trouble(why));
        let (session, why) = (self.clone(), why.to_owned());
        tokio::spawn(async move {
            if let Some(handle) = session.handle() {
                // A client that does not read it is ended all the same.
                let farewell = handle.disconnect(Disconnect::ByApplication, why, String::new());
                let _ = tokio::time::timeout(FAREWELL, farewell).await;
            }
            sleep(FAREWELL).await;
            session.pace.end();
        });
    }

    /// The connection is over.
    pub fn over(&self) {
        {
            let mut state = self.state.lock();
            state.ended = true;
            state.forwards.clear();
            state.terminals.clear();
        }
        if let Some(known) = self.known.get() {
            self.gateway.registry.end_session(known.id);
            self.gateway.sessions.lock().remove(&known.id);
        }
        self.channels.close();
    }
}
