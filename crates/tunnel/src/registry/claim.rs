//! Claims: names and ports, from the wish to what visitors find.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use doorstep_net::BoxFuture;
use doorstep_proto::tunnel::{AgentKey, Claim, Code, Grant, SessionId, Taken, TunnelError};

use super::agent::{Agent, is_configured, owner_id};
use super::book::{Book, shown};
use super::event::RegistryEvent;
use super::ledger::Written;
use super::lent::{Lent, Place};
use super::proof::{Proof, prove};
use super::{Granted, Inner, Registry, fingerprint, names, reserved};
use crate::carrier::Carrier;
use crate::limits::{LEASE, PORTS_TRIED, PROVEN};
use crate::ports::LeaseError;

impl Registry {
    /// Grants `claim` to the claim number `id` of a session that [`Self::begin_session`] began, and lets visitors find it.
    /// What is the agent's from now on is on the disk when it returns. Dropping the future leaves nothing behind that
    /// [`Self::release`] or [`Self::end_session`] does not take away.
    ///
    /// # Errors
    /// With the code that the agent is told.
    pub fn claim(
        &self,
        session: SessionId,
        id: u32,
        agent: &Agent,
        claim: &Claim,
        carrier: Arc<dyn Carrier>,
    ) -> BoxFuture<'static, Result<Granted, TunnelError>> {
        let (inner, agent, claim) = (self.0.clone(), agent.clone(), claim.clone());
        Box::pin(async move {
            let wish = Wish { session, id, owner: agent.owner(), agent, claim, carrier };
            inner.grant(wish).await
        })
    }

    /// An agent gives a claim back. Its name or port stays its own; but a port is closed, since nobody is just coming back.
    pub fn release(&self, session: SessionId, id: u32) {
        let mut book = self.0.memory.book.lock();
        if let Some(taken) = book.claims.release(session, id) {
            self.0.leave_for_now(&taken);
        }
    }

    /// A session is over, with all its claims.
    pub fn end_session(&self, session: SessionId) {
        self.0.end_session(&mut self.0.memory.book.lock(), session);
    }
}

/// A claim on its way.
struct Wish {
    session: SessionId,
    id: u32,
    agent: Agent,
    owner: AgentKey,
    claim: Claim,
    carrier: Arc<dyn Carrier>,
}

/// What came of it in the book.
struct Took {
    /// Which session ended for it.
    evicts: Option<SessionId>,
    /// To wait for, where it is not on the disk yet.
    written: Option<Written>,
    is_new: bool,
}

impl Inner {
    async fn grant(self: &Arc<Self>, wish: Wish) -> Result<Granted, TunnelError> {
        let is_port = matches!(wish.claim, Claim::Tcp { .. } | Claim::Udp { .. });
        let mut tries = if is_port { PORTS_TRIED } else { 1 };
        loop {
            tries -= 1;
            let wanted = self.wanted(&self.memory.book.lock(), &wish)?;
            // What the configuration names is the relay's owner's own decision.
            if let Some(host) = self.foreign(&wanted).filter(|_| !wish.agent.is_configured()) {
                self.prove(host, &wish).await?;
            }
            if self.memory.book.lock().claims.owner(&wanted) != Some(wish.owner) {
                self.leading().await?;
            }
            let Took { evicts, written, is_new } = self.take(&wish, &wanted)?;
            // Until it is granted, whatever goes wrong gives it back.
            let taken = Holding { inner: self, wish: &wish, granted: false };
            let place = match &wanted {
                Taken::Name(host) => Ok(self.places.make_one(host)),
                Taken::Tcp(port) => self.leases.tcp(*port, !is_new),
                Taken::Udp(port) => self.leases.udp(*port, !is_new),
            };
            let place = match place {
                Ok(place) => place,
                Err(LeaseError::InUse) if self.is_open(&wish.claim) && tries > 0 => {
                    self.memory.book.lock().unusable.insert(wanted.clone());
                    self.disown(&wanted, is_new);
                    continue;
                }
                Err(error) => {
                    self.disown(&wanted, is_new);
                    return Err(TunnelError::new(Code::PortTaken, error.to_string()));
                }
            };
            if let Some(written) = written {
                self.wake_and_wait(written).await?;
            }
            let granted = self.lend(&wish, &wanted, &place, evicts)?;
            let mut taken = taken;
            taken.granted = true;
            return Ok(granted);
        }
    }

    /// What exactly is claimed, where it is in order.
    fn wanted(&self, book: &Book, wish: &Wish) -> Result<Taken, TunnelError> {
        book.still_admitted(&wish.agent)?;
        let quota = wish.agent.quota();
        let stable = match &wish.claim {
            Claim::Http { name, label } if name.is_empty() => self.stable(book, wish.owner, label, &wish.agent),
            _ => String::new(),
        };
        let wanted = book.claims.wanted(wish.owner, &wish.claim, &stable, &quota, &book.unusable)?;
        if let Taken::Name(host) = &wanted {
            if let Some(labels) = self.own_labels(host) {
                names::check(labels, &quota.patterns)?;
            }
            self.not_reserved(host)?;
            if book.stopped.contains(host) {
                return Err(TunnelError::new(Code::SwitchedOff, host));
            }
        }
        Ok(wanted)
    }

    fn not_reserved(&self, host: &str) -> Result<(), TunnelError> {
        if self.settings.load().reserved.contains(host) { Err(reserved(host)) } else { Ok(()) }
    }

    /// The first stable name that is not somebody else's: the very first, but for one in a hundred thousand million.
    fn stable(&self, book: &Book, owner: AgentKey, label: &str, agent: &Agent) -> String {
        let pattern = agent.limits.names.iter().find(|pattern| pattern.contains('*')).map(String::as_str);
        let name = |attempt| names::stable(&self.secret, &owner, label, attempt, pattern);
        let free = |name: &String| {
            book.claims.owner(&Taken::Name(format!("{name}.{}", self.domain))).is_none_or(|other| other == owner)
        };
        (0..=u8::MAX).map(name).find(free).unwrap_or_else(|| name(0))
    }

    /// What stands before the relay's domain in one of its names.
    fn own_labels<'a>(&self, host: &'a str) -> Option<&'a str> {
        host.strip_suffix(self.domain.as_str())?.strip_suffix('.')
    }

    fn foreign<'a>(&self, wanted: &'a Taken) -> Option<&'a str> {
        match wanted {
            Taken::Name(host) if self.own_labels(host).is_none() => Some(host),
            _ => None,
        }
    }

    /// The agent left it to the relay which one.
    fn is_open(&self, claim: &Claim) -> bool {
        matches!(claim, Claim::Tcp { port: 0 } | Claim::Udp { port: 0 })
    }

    /// Lets an agent have a domain that is proven to be its own. One that is another's only if it is not that one's any more.
    async fn prove(&self, host: &str, wish: &Wish) -> Result<(), TunnelError> {
        let taken = Taken::Name(host.to_owned());
        let (holder, known) = {
            let book = self.memory.book.lock();
            let fresh = |(owner, since): &(AgentKey, Instant)| *owner == wish.owner && since.elapsed() < PROVEN;
            (book.claims.owner(&taken), book.proven.get(host).is_some_and(fresh))
        };
        if known && holder == Some(wish.owner) {
            return Ok(());
        }
        // Before the turn among all agents, so that nobody waits for domains of one whose name servers are slow.
        let turn = wish.agent.meter.proofs().acquire().await;
        let Ok(_turn) = turn else { return Err(TunnelError::new(Code::NameUnproven, host)) };
        match self.ask(host, wish.owner, &wish.agent).await {
            Proof::Proven => {}
            // A name server that is down takes nothing away from whoever had it.
            Proof::Unknown(_) if holder == Some(wish.owner) => return Ok(()),
            Proof::Unknown(why) => return Err(TunnelError::new(Code::NameUnproven, format!("{host}: {why}"))),
            Proof::Missing => return Err(self.unproven(host, wish)),
        }
        if let Some(holder) = holder.filter(|holder| *holder != wish.owner) {
            let (other, configured) = {
                let book = self.memory.book.lock();
                (book.agent_of_owner(holder), book.owners.get(&holder).is_some_and(|name| is_configured(name)))
            };
            let still = match other {
                Some(other) => self.ask(host, holder, &other).await,
                None if configured => Proof::Proven,
                None => Proof::Missing,
            };
            if still != Proof::Missing {
                return Err(TunnelError::new(Code::NameTaken, host));
            }
            self.leading().await?;
            let mut book = self.memory.book.lock();
            if book.claims.owner(&taken) == Some(holder) {
                let error = TunnelError::new(Code::Withdrawn, format!("{host} is proven to be another agent's now"));
                drop(self.forget_taken(&mut book, &taken, error));
                self.memory.wake();
            }
        }
        let mut book = self.memory.book.lock();
        book.proven.retain(|_, (_, since)| since.elapsed() < PROVEN);
        book.proven.insert(host.to_owned(), (wish.owner, Instant::now()));
        Ok(())
    }

    async fn ask(&self, host: &str, owner: AgentKey, agent: &Agent) -> Proof {
        let Ok(_turn) = self.proofs.acquire().await else { return Proof::Unknown(String::new()) };
        let (stable, fingerprints) = {
            let book = self.memory.book.lock();
            let stable = format!("{}.{}", self.stable(&book, owner, "", agent), self.domain);
            let keys = book.agents.get(&agent.name).map_or(&[][..], |record| &record.keys);
            let keys = keys.iter().filter(|key| !key.revoked).map(|key| fingerprint(&key.key));
            (stable, keys.chain([fingerprint(&agent.key)]).collect::<Vec<_>>())
        };
        let theirs = |name: &str| {
            name == stable
                || self.own_labels(name).is_some()
                    && self.memory.book.lock().claims.owner(&Taken::Name(name.to_owned())) == Some(owner)
        };
        prove(&*self.options.lookup, host, theirs, &fingerprints).await
    }

    /// With the exact record to make.
    fn unproven(&self, host: &str, wish: &Wish) -> TunnelError {
        let book = self.memory.book.lock();
        let own = book.claims.owned(wish.owner).filter_map(|taken| match taken {
            Taken::Name(name) if self.own_labels(name).is_some() => Some(name.clone()),
            _ => None,
        });
        let target =
            own.min().unwrap_or_else(|| format!("{}.{}", self.stable(&book, wish.owner, "", &wish.agent), self.domain));
        let print = fingerprint(&wish.agent.key);
        let detail = format!(
            "make one of these DNS records, then try again: `{host}. CNAME {target}.` or `_doorstep.{host}. TXT \"doorstep={print}\"`"
        );
        TunnelError::new(Code::NameUnproven, detail)
    }

    /// Writes into the book what the agent gets.
    fn take(&self, wish: &Wish, wanted: &Taken) -> Result<Took, TunnelError> {
        let mut book = self.memory.book.lock();
        let book = &mut *book;
        if !book.sessions.contains_key(&wish.session) {
            return Err(Code::UnknownSession.into());
        }
        // Once more, under the lock that whoever reserves it takes afterwards.
        if let Taken::Name(host) = wanted {
            self.not_reserved(host)?;
        }
        let serving = book.claims.serving(wanted).filter(|(other, _)| *other != wish.session);
        let (serving, claim) = serving.unzip();
        if let Some(other) = serving.and_then(|other| book.sessions.get(&other))
            && other.agent.key != wish.agent.key
            && book.claims.owner(wanted) == Some(wish.owner)
        {
            let detail = format!("another computer of {}, at {}, lends it right now", wish.agent.name, other.from.ip());
            let code = if matches!(wanted, Taken::Name(_)) { Code::NameTaken } else { Code::PortTaken };
            return Err(TunnelError::new(code, detail));
        }
        let is_new = book.claims.owner(wanted).is_none();
        let mut evicts = serving.filter(|_| book.claims.owner(wanted) == Some(wish.owner));
        if let Some(old) = evicts {
            if book.sessions.get(&old).is_some_and(|old| old.going) {
                // It does not notice: it is about to give the claim back, and this one serves what comes from now on.
                claim.and_then(|claim| book.claims.release(old, claim));
                evicts = None;
            } else {
                self.end_session(book, old);
            }
        }
        book.claims.take((wish.session, wish.id), wish.owner, wanted, &wish.agent.quota())?;
        book.owner(&wish.agent.name);
        if is_new {
            let (taken, places) = (wanted.clone(), self.places.clone());
            let change = book.names_ledger.changed(move |book| {
                book.claims.forget(&taken);
                book.unsaved.remove(&taken);
                if let Taken::Name(host) = &taken
                    && !book.stopped.contains(host)
                {
                    places.remove(host);
                }
            });
            book.unsaved.insert(wanted.clone(), change);
        }
        self.memory.wake();
        let written = book.unsaved.get(wanted).copied().map(|change| book.names_ledger.wait(change));
        Ok(Took { evicts, written, is_new })
    }

    /// Lets visitors find it.
    fn lend(
        &self,
        wish: &Wish,
        wanted: &Taken,
        place: &Arc<Place>,
        evicts: Option<SessionId>,
    ) -> Result<Granted, TunnelError> {
        let Wish { session, id, .. } = *wish;
        let (host, port) = match wanted {
            Taken::Name(host) => (Arc::from(host.as_str()), 0),
            Taken::Tcp(port) | Taken::Udp(port) => (Arc::from(self.domain.as_str()), *port),
        };
        let book = self.memory.book.lock();
        if book.claims.serving(wanted) != Some((session, id)) {
            return Err(TunnelError::new(Code::UnknownSession, format!("{} was taken back meanwhile", shown(wanted))));
        }
        place.lend(Arc::new(Lent {
            host: Arc::clone(&host),
            port,
            agent: wish.agent.clone(),
            session,
            id,
            claim: wish.claim.clone(),
            carrier: wish.carrier.clone(),
            attached: OnceLock::new(),
            place: place.clone(),
        }));
        drop(book);
        if matches!(wanted, Taken::Name(_)) {
            let tls = matches!(wish.claim, Claim::Tls { .. });
            let _ = self.events.send(RegistryEvent::NameClaimed { host: host.clone(), tls });
        }
        let port = if port == 0 { self.options.https } else { port };
        Ok(Granted { grant: Grant { host: host.to_string(), port, lease: LEASE }, evicts })
    }

    /// It could not be bound, so that it is not the agent's either, where it was not before.
    fn disown(&self, taken: &Taken, is_new: bool) {
        let mut book = self.memory.book.lock();
        if is_new && book.unsaved.contains_key(taken) {
            book.claims.forget(taken);
            // Its change stays, and is written as what is then there.
            self.memory.wake();
        }
    }

    pub(super) fn end_session(&self, book: &mut Book, session: SessionId) {
        book.sessions.remove(&session);
        for taken in book.claims.end_session(session) {
            self.leave(&taken);
        }
    }

    /// As it asked for.
    pub(super) fn leave_for_now(&self, taken: &Taken) {
        match taken {
            Taken::Name(_) => self.leave(taken),
            Taken::Tcp(port) => self.leases.give_back_tcp(*port),
            Taken::Udp(port) => self.leases.give_back_udp(*port),
        }
    }

    /// Without a word: whoever loses a connection is back in a moment.
    pub(super) fn leave(&self, taken: &Taken) {
        match taken {
            Taken::Name(host) => {
                if let Some(place) = self.places.get(host) {
                    place.leave();
                }
            }
            Taken::Tcp(port) => self.leases.leave_tcp(*port),
            Taken::Udp(port) => self.leases.leave_udp(*port),
        }
    }
}

/// Gives a claim back that did not come to its grant, also when its future was dropped.
struct Holding<'a> {
    inner: &'a Arc<Inner>,
    wish: &'a Wish,
    granted: bool,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if !self.granted {
            let mut book = self.inner.memory.book.lock();
            if let Some(taken) = book.claims.release(self.wish.session, self.wish.id) {
                self.inner.leave(&taken);
            }
        }
    }
}

impl Book {
    /// An agent by what it owns things under; with any of its keys.
    fn agent_of_owner(&self, owner: AgentKey) -> Option<Agent> {
        let name = self.owners.get(&owner).filter(|name| owner_id(name) == owner)?;
        let key = self.agents.get(name)?.keys.iter().find(|key| !key.revoked)?.key;
        self.agent(&key).map(|(agent, _)| agent)
    }
}
