//! Who comes in: keys, invitations, sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use doorstep_proto::tunnel::{AgentKey, Code, Invitation, SessionId, TunnelError};
use tokio::sync::broadcast;

use super::agent::{Agent, is_configured};
use super::book::{AgentRecord, Book, KeyRecord, SessionRecord, Stage};
use super::event::RegistryEvent;
use super::ledger::Written;
use super::memory::Reread;
use super::places::Places;
use super::{Inner, Registry, fingerprint, now, random};
use crate::limits::{AGENT_KEYS, AGENT_SESSIONS, AGENTS, WRITTEN};

impl Registry {
    /// Whose key it is. Check its signature before.
    ///
    /// # Errors
    /// [`Code::UnknownKey`], [`Code::RevokedKey`].
    pub fn authenticate(&self, key: &AgentKey) -> Result<Agent, TunnelError> {
        let book = self.0.memory.book.lock();
        book.admitted(key)
    }

    /// Admits the key that comes with an invitation, which is then used up. The key's own second try succeeds again, for the
    /// answer to its first may have been lost. On the disk when it returns.
    ///
    /// # Errors
    /// [`Code::InvitationInvalid`], [`Code::InvitationExpired`], [`Code::InvitationUsed`], [`Code::RevokedKey`],
    /// [`Code::NotWritten`].
    pub async fn join(&self, invitation: &[u8], key: AgentKey) -> Result<Agent, TunnelError> {
        let inner = &*self.0;
        let invitation = Invitation::decode(invitation)?;
        hmac::verify(&inner.secret, &invitation.signed_part(), &invitation.mac)
            .map_err(|_| TunnelError::from(Code::InvitationInvalid))?;
        invitation.check_expiry(now())?;
        inner.leading().await?;
        let (agent, written) = inner.admit(&invitation.id, key)?;
        if let Some(written) = written {
            inner.wake_and_wait(written).await?;
        }
        Ok(agent)
    }

    /// A new session of an agent: keep its number for claims, and end it with [`Self::end_session`].
    ///
    /// # Errors
    /// [`Code::TooMuch`]; and what [`Self::authenticate`] says, when the key was revoked meanwhile.
    pub fn begin_session(&self, agent: &Agent, from: SocketAddr, software: &str) -> Result<SessionId, TunnelError> {
        let id = random().map(SessionId).ok_or_else(|| TunnelError::new(Code::TooMuch, "no random numbers"))?;
        let mut book = self.0.memory.book.lock();
        book.still_admitted(agent)?;
        if book.sessions.values().filter(|session| session.agent.name == agent.name).count() >= AGENT_SESSIONS {
            return Err(TunnelError::new(Code::TooMuch, format!("{AGENT_SESSIONS} sessions of one agent")));
        }
        let software = software.to_owned();
        let session = SessionRecord {
            agent: agent.clone(),
            from,
            software,
            since: SystemTime::now(),
            round_trip: None,
            going: false,
        };
        book.sessions.insert(id, session);
        Ok(id)
    }

    /// A session was asked to go elsewhere: the one that takes over from it does not end it, so that streams under way finish.
    pub fn going_away(&self, session: SessionId) {
        if let Some(session) = self.0.memory.book.lock().sessions.get_mut(&session) {
            session.going = true;
        }
    }

    /// What a round trip to the agent takes, for people to look at.
    pub fn set_round_trip(&self, session: SessionId, round_trip: Duration) {
        if let Some(session) = self.0.memory.book.lock().sessions.get_mut(&session) {
            session.round_trip = Some(round_trip);
        }
    }
}

impl Inner {
    /// Uses an invitation up.
    fn admit(&self, id: &[u8; 16], key: AgentKey) -> Result<(Agent, Option<Written>), TunnelError> {
        let mut book = self.memory.book.lock();
        let withdrawn = || TunnelError::new(Code::InvitationInvalid, "its agent was revoked meanwhile");
        let record = book.invitations.get(id).ok_or_else(withdrawn)?.clone();
        match record.used_by {
            Some(user) if user == key => return Ok((book.admitted(&key)?, book.last_agents_change())),
            Some(_) => return Err(Code::InvitationUsed.into()),
            None => {}
        }
        if let Some(owner) = book.keys.get(&key).cloned() {
            book.admitted(&key)?;
            return Err(TunnelError::new(Code::InvitationInvalid, format!("this key belongs to {owner} already")));
        }
        let before = book.agents.get(&record.agent).cloned();
        if before.is_none() && book.agents.len() >= AGENTS
            || before.as_ref().is_some_and(|record| record.keys.len() >= AGENT_KEYS)
        {
            return Err(TunnelError::new(Code::TooMuch, "the relay has all the agents and keys that it can have"));
        }
        let comment = "doorstep join".to_owned();
        let agent = book.agents.entry(record.agent.clone());
        let agent = agent.or_insert_with(|| AgentRecord::new(record.limits.clone(), now()));
        agent.set_limits(record.limits.clone());
        agent.keys.push(KeyRecord { key, comment, added: now(), revoked: false });
        book.keys.insert(key, record.agent.clone());
        let unused = record.clone();
        book.invitations.insert(*id, super::book::InvitationRecord { used_by: Some(key), ..record });
        let id = *id;
        let change = book.agents_ledger.changed(move |book| {
            book.keys.remove(&key);
            match before {
                Some(before) => book.agents.insert(unused.agent.clone(), before),
                None => book.agents.remove(&unused.agent),
            };
            book.invitations.insert(id, unused);
        });
        let written = book.agents_ledger.wait(change);
        Ok((book.admitted(&key)?, Some(written)))
    }

    /// Waits until this process may change the memory.
    pub(super) async fn leading(&self) -> Result<(), TunnelError> {
        let leading = async {
            loop {
                let staged = self.memory.staged.notified();
                tokio::pin!(staged);
                staged.as_mut().enable();
                match self.memory.book.lock().stage {
                    Stage::Leading => return true,
                    Stage::Retired => return false,
                    Stage::Standby | Stage::Waiting => {}
                }
                staged.await;
            }
        };
        match tokio::time::timeout(WRITTEN, leading).await {
            Ok(true) => Ok(()),
            _ => Err(TunnelError::new(Code::NotWritten, "another process of the relay is taking over; try again")),
        }
    }

    /// Has a change written, and waits until it is.
    pub(super) async fn wake_and_wait(&self, written: Written) -> Result<(), TunnelError> {
        self.memory.wake();
        match tokio::time::timeout(WRITTEN, written).await {
            Ok(Ok(Ok(()))) => Ok(()),
            // Which disk and why is the owner's matter.
            Ok(_) => Err(Code::NotWritten.into()),
            Err(_) => Err(TunnelError::new(Code::NotWritten, "its disk does not answer")),
        }
    }
}

impl Book {
    pub(super) fn admitted(&self, key: &AgentKey) -> Result<Agent, TunnelError> {
        let Some((agent, revoked)) = self.agent(key) else {
            return Err(TunnelError::new(Code::UnknownKey, fingerprint(key)));
        };
        if revoked {
            return Err(TunnelError::new(Code::RevokedKey, fingerprint(key)));
        }
        if agent.limits.until.is_some_and(|until| now() >= until) {
            return Err(TunnelError::new(Code::RevokedKey, "it was let in for some time only, which is over"));
        }
        Ok(agent)
    }

    /// Whether an agent that came in may still be there. Those of the configuration are its matter.
    pub(super) fn still_admitted(&self, agent: &Agent) -> Result<(), TunnelError> {
        match agent.is_configured() {
            true => Ok(()),
            false => self.admitted(&agent.key).map(drop),
        }
    }

    /// Whether an agent of this name may come in.
    pub(super) fn may_come(&self, name: &str) -> bool {
        let over =
            |record: &AgentRecord| record.is_revoked() || record.limits.until.is_some_and(|until| now() >= until);
        is_configured(name) || self.agents.get(name).is_some_and(|record| !over(record))
    }

    fn last_agents_change(&mut self) -> Option<Written> {
        let last = self.agents_ledger.last();
        self.agents_ledger.is_dirty().then(|| self.agents_ledger.wait(last))
    }
}

/// What follows from a memory that was read anew: other places, and agents that are revoked.
pub(super) fn reread(places: Arc<Places>, events: broadcast::Sender<RegistryEvent>) -> Reread {
    Box::new(move |book| {
        places.follow(book);
        for session in book.sessions.values() {
            if book.still_admitted(&session.agent).is_err() {
                let Agent { key, name, .. } = &session.agent;
                let _ = events.send(RegistryEvent::AgentRevoked { key: *key, name: name.clone() });
            }
        }
    })
}
