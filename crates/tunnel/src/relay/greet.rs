use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::Bytes;
use doorstep_net::ConnInfo;
use doorstep_proto::tunnel::{
    Authenticate, Code, Exporter, ProbeAsk, Purpose, RelayGreeting, RelayGreetingOutput, SessionId, Sharing,
    TunnelError, VERSION, Welcome,
};

use super::session::{Reserved, Session};
use super::{Relay, RelayEvent};
use crate::limits::AGENT_SESSIONS;
use crate::link::{Transport, Wire, now};
use crate::registry::Agent;

/// A connection that was taken.
pub(super) enum Greeted {
    Control { session: OpenSession, wire: Wire, rest: Bytes },
    Data { session: Arc<Session>, sharing: Sharing, wire: Wire, rest: Bytes, place: Reserved },
    Probe { agent: Arc<str>, asks: Vec<ProbeAsk>, wire: Wire },
}

/// A session that the registry and the relay know of; when this goes, they do not any more.
pub(super) struct OpenSession {
    relay: Relay,
    pub session: Arc<Session>,
    /// What it ended of, for the event.
    pub ended: TunnelError,
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let session = &self.session;
        self.relay.0.sessions.lock().remove(&session.id);
        self.relay.0.registry.end_session(session.id);
        session.finish(self.ended.code);
        let (from, agent) = (session.from, session.agent.name.clone());
        self.relay.tell(RelayEvent::Offline { from, agent, error: self.ended.clone() });
    }
}

/// What a good greeting leads to.
enum Verdict {
    Control(OpenSession),
    Data(Arc<Session>, Sharing, Reserved),
    Joined,
    Probe(Arc<str>, Vec<ProbeAsk>),
}

/// Why a greeting leads to nothing, and of whom it was, where that was found out.
struct Refused {
    agent: Option<Arc<str>>,
    error: TunnelError,
}

/// Hears who it is and what it wants. `None`: it is over, and everything is said.
pub(super) async fn greet(relay: &Relay, transport: Transport, info: &ConnInfo, exporter: Exporter) -> Option<Greeted> {
    let mut wire = Wire::new(transport);
    let mut machine = RelayGreeting::new(now(), exporter);
    let mut verdict = None;
    let (mut key, mut agent) = (None, None);
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                RelayGreetingOutput::Transmit(bytes) => wire.push(bytes),
                RelayGreetingOutput::Authenticate(question) => {
                    key = Some(question.key);
                    match judge(relay, info, question).await {
                        Ok((welcome, good)) => {
                            verdict = Some(good);
                            machine.admit(welcome);
                        }
                        Err(refused) => {
                            agent = refused.agent;
                            machine.refuse(refused.error);
                        }
                    }
                }
                RelayGreetingOutput::Admitted { rest } => match verdict? {
                    Verdict::Control(session) => return Some(Greeted::Control { session, wire, rest }),
                    Verdict::Data(session, sharing, place) => {
                        return Some(Greeted::Data { session, sharing, wire, rest, place });
                    }
                    Verdict::Probe(agent, asks) => return Some(Greeted::Probe { agent, asks, wire }),
                    Verdict::Joined => {
                        wire.finish().await;
                        return None;
                    }
                },
                RelayGreetingOutput::Failed(error) => {
                    relay.tell(RelayEvent::Refused { from: info.peer, key, agent: agent.take(), error });
                    wire.finish().await;
                    return None;
                }
            }
        }
        let deadline = machine.poll_timeout()?;
        match tokio::time::timeout_at(deadline.into(), wire.read()).await {
            Ok(Some(bytes)) => machine.received(bytes),
            Ok(None) => machine.closed(),
            Err(_) => machine.handle_timeout(now()),
        }
    }
}

/// The signature before anything else, then whose key it is, then what it is for.
async fn judge(relay: &Relay, info: &ConnInfo, question: Authenticate) -> Result<(Welcome, Verdict), Refused> {
    let registry = &relay.0.registry;
    let key = question.key;
    let stranger = |error| Refused { agent: None, error };
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&question.transcript, &question.signature)
        .map_err(|_| stranger(Code::WrongKey.into()))?;
    if let Purpose::Join { invitation } = &question.purpose {
        let agent = registry.join(invitation, key).await.map_err(stranger)?;
        relay.tell(RelayEvent::Joined { from: info.peer, key, agent: agent.name.clone() });
        return Ok((welcome(relay, &agent, SessionId([0; 16])), Verdict::Joined));
    }
    let agent = registry.authenticate(&key).map_err(stranger)?;
    let refused = |error| Refused { agent: Some(agent.name.clone()), error };
    if let Purpose::Probe { asks } = question.purpose {
        if relay.0.blind.load(Ordering::Relaxed) {
            return Err(refused(Code::NoProber.into()));
        }
        let verdict = Verdict::Probe(agent.name.clone(), asks);
        return Ok((welcome(relay, &agent, SessionId([0; 16])), verdict));
    }
    if let Purpose::Data { session, sharing } = question.purpose {
        // Another's session is as unknown as one that there is not.
        let own = relay.session(&session).filter(|session| session.agent.key == key);
        let session = own.ok_or_else(|| refused(Code::UnknownSession.into()))?;
        let place = session.reserve().map_err(refused)?;
        let verdict = Verdict::Data(session.clone(), sharing, place);
        return Ok((welcome(relay, &agent, session.id), verdict));
    }
    // Those among them that another session took over from, and that are not over yet: the registry has forgotten them.
    let sessions = relay.0.sessions.lock().values().filter(|session| session.agent.name == agent.name).count();
    if sessions >= AGENT_SESSIONS {
        return Err(refused(TunnelError::new(Code::TooMuch, format!("{AGENT_SESSIONS} sessions of one agent"))));
    }
    let id = registry.begin_session(&agent, info.peer, &question.software).map_err(refused)?;
    let session = Arc::new(Session::new(id, agent.clone(), info.peer));
    relay.0.sessions.lock().insert(id, session.clone());
    let ended = Code::Lost.into();
    let open = OpenSession { relay: relay.clone(), session, ended };
    relay.tell(RelayEvent::Online { from: info.peer, agent: agent.name.clone(), software: question.software });
    Ok((welcome(relay, &agent, id), Verdict::Control(open)))
}

fn welcome(relay: &Relay, agent: &Agent, session: SessionId) -> Welcome {
    Welcome {
        version: VERSION,
        session,
        agent: agent.name.to_string(),
        domain: relay.0.registry.domain().to_string(),
        software: relay.0.options.software.clone(),
    }
}
