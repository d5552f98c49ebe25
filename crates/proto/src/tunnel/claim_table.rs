use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use super::{AgentKey, Claim, Code, SessionId, TunnelError};

/// The relay's memory of which key owns which name or port, and which session serves it now. A name stays its owner's when
/// the session ends. Leases are the session's matter; DNS proof of foreign domains is the caller's, before it asks here.
///
/// Every operation costs in the order of what the one key or session has, not of what all have.
#[derive(Debug)]
pub struct ClaimTable {
    domain: String,
    ports: RangeInclusive<u16>,
    held: HashMap<Taken, Holder>,
    /// What each key owns.
    owned: HashMap<AgentKey, HashSet<Taken>>,
    /// What each session serves.
    served: HashMap<SessionId, HashSet<(u32, Taken)>>,
}

/// A thing that only one can have. `Http` and `Tls` claims share the names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Taken {
    /// A whole host name in lower case.
    Name(String),
    Tcp(u16),
    Udp(u16),
}

impl Taken {
    fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    key: AgentKey,
    /// The session that serves it, and the claim's number there.
    serving: Option<(SessionId, u32)>,
}

/// What an agent may have, and how its names must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub names: usize,
    pub ports: usize,
    /// Patterns with at most one `*` for the labels under the relay's domain, like `studio-*`; empty is any.
    pub patterns: Vec<String>,
}

impl ClaimTable {
    /// `domain` is the relay's own; `ports` are those it lends.
    pub fn new(domain: &str, ports: RangeInclusive<u16>) -> Self {
        let domain = domain.to_ascii_lowercase();
        Self { domain, ports, held: HashMap::new(), owned: HashMap::new(), served: HashMap::new() }
    }

    /// Remembers an owner from before the relay's start. `false`: it has one already.
    pub fn restore(&mut self, key: AgentKey, taken: Taken) -> bool {
        if self.held.contains_key(&taken) {
            return false;
        }
        self.owned.entry(key).or_default().insert(taken.clone());
        self.held.insert(taken, Holder { key, serving: None });
        true
    }

    /// What `claim` is about, whole, before anybody is asked whether it may be had: checks its form, the key's patterns and
    /// the range of ports. `stable` is the name for a claim that leaves it to the relay, which never chooses a port that is
    /// `unusable`.
    ///
    /// # Errors
    /// With the code that the agent is told.
    pub fn wanted(
        &self,
        key: AgentKey,
        claim: &Claim,
        stable: &str,
        quota: &Quota,
        unusable: &HashSet<Taken>,
    ) -> Result<Taken, TunnelError> {
        match claim {
            Claim::Http { name, .. } if name.is_empty() => self.name(stable),
            Claim::Http { name, .. } | Claim::Tls { name } => self.allowed_name(name, quota),
            Claim::Tcp { port } => self.port(*port, key, Taken::Tcp, unusable),
            Claim::Udp { port } => self.port(*port, key, Taken::Udp, unusable),
        }
    }

    /// Takes what `claim` asks for, for the claim number `id` of `session`. `stable` is as in [`Self::wanted`]. Says what was
    /// taken, and which other session of the same key is to be ended with [`Code::Evicted`].
    ///
    /// # Errors
    /// With the code that the agent is told.
    pub fn claim(
        &mut self,
        (session, id): (SessionId, u32),
        key: AgentKey,
        claim: &Claim,
        stable: &str,
        quota: &Quota,
    ) -> Result<(Taken, Option<SessionId>), TunnelError> {
        let taken = self.wanted(key, claim, stable, quota, &HashSet::new())?;
        let evicts = self.take((session, id), key, &taken, quota)?;
        Ok((taken, evicts))
    }

    /// As [`Self::claim`], for a thing that [`Self::wanted`] found.
    ///
    /// # Errors
    /// With the code that the agent is told.
    pub fn take(
        &mut self,
        (session, id): (SessionId, u32),
        key: AgentKey,
        taken: &Taken,
        quota: &Quota,
    ) -> Result<Option<SessionId>, TunnelError> {
        let is_name = taken.is_name();
        let evicts = match self.held.get(taken) {
            Some(holder) if holder.key != key => {
                return Err(if is_name { Code::NameTaken } else { Code::PortTaken }.into());
            }
            Some(Holder { serving: Some((other, _)), .. }) if *other != session => Some(*other),
            // Two claims of one session for the same thing.
            Some(Holder { serving: Some(_), .. }) => {
                return Err(TunnelError::new(
                    if is_name { Code::NameTaken } else { Code::PortTaken },
                    "by this session itself",
                ));
            }
            Some(_) => None,
            None => {
                let (most, code) = match is_name {
                    true => (quota.names, Code::TooManyNames),
                    false => (quota.ports, Code::TooManyPorts),
                };
                if self.owned(key).filter(|other| other.is_name() == is_name).count() >= most {
                    return Err(TunnelError::new(code, format!("at most {most}")));
                }
                None
            }
        };
        if let Some(old) = evicts {
            self.end_session(old);
        }
        self.owned.entry(key).or_default().insert(taken.clone());
        self.served.entry(session).or_default().insert((id, taken.clone()));
        self.held.insert(taken.clone(), Holder { key, serving: Some((session, id)) });
        Ok(evicts)
    }

    /// Which session and claim serve it now.
    pub fn serving(&self, taken: &Taken) -> Option<(SessionId, u32)> {
        self.held.get(taken)?.serving
    }

    pub fn owner(&self, taken: &Taken) -> Option<AgentKey> {
        self.held.get(taken).map(|holder| holder.key)
    }

    /// What the key owns, in no order.
    pub fn owned(&self, key: AgentKey) -> impl Iterator<Item = &Taken> {
        self.owned.get(&key).into_iter().flatten()
    }

    /// The session is over; what it served stays its key's. Says what that was.
    pub fn end_session(&mut self, session: SessionId) -> Vec<Taken> {
        let served = self.served.remove(&session).into_iter().flatten();
        let served: Vec<Taken> = served.map(|(_, taken)| taken).collect();
        for taken in &served {
            if let Some(holder) = self.held.get_mut(taken) {
                holder.serving = None;
            }
        }
        served
    }

    /// A claim is over; its name or port stays its key's. Says what it was.
    pub fn release(&mut self, session: SessionId, id: u32) -> Option<Taken> {
        let taken = self.served.get(&session)?.iter().find(|(other, _)| *other == id)?.1.clone();
        self.stop_serving((session, id), &taken);
        if let Some(holder) = self.held.get_mut(&taken) {
            holder.serving = None;
        }
        Some(taken)
    }

    /// Nobody owns it any more. Says which claim is to be withdrawn.
    pub fn forget(&mut self, taken: &Taken) -> Option<(SessionId, u32)> {
        let holder = self.held.remove(taken)?;
        if let Some(owned) = self.owned.get_mut(&holder.key) {
            owned.remove(taken);
            if owned.is_empty() {
                self.owned.remove(&holder.key);
            }
        }
        if let Some(serving) = holder.serving {
            self.stop_serving(serving, taken);
        }
        holder.serving
    }

    fn stop_serving(&mut self, (session, id): (SessionId, u32), taken: &Taken) {
        if let Some(claims) = self.served.get_mut(&session) {
            claims.remove(&(id, taken.clone()));
            if claims.is_empty() {
                self.served.remove(&session);
            }
        }
    }

    fn allowed_name(&self, name: &str, quota: &Quota) -> Result<Taken, TunnelError> {
        let taken = self.name(name)?;
        let Taken::Name(whole) = &taken else { return Ok(taken) };
        let own = whole.strip_suffix(&self.domain).and_then(|label| label.strip_suffix('.'));
        let fits = |pattern: &String| match pattern.split_once('*') {
            Some((start, end)) => own.is_some_and(|label| {
                label.len() >= start.len() + end.len() && label.starts_with(start) && label.ends_with(end)
            }),
            None => own == Some(pattern),
        };
        if *whole == self.domain || own.is_some() && !quota.patterns.is_empty() && !quota.patterns.iter().any(fits) {
            return Err(TunnelError::new(Code::NameNotAllowed, whole.as_str()));
        }
        Ok(taken)
    }

    fn name(&self, name: &str) -> Result<Taken, TunnelError> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let whole = if name.contains('.') { name } else { format!("{name}.{}", self.domain) };
        let label = |label: &str| {
            let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if whole.len() > 253 || !whole.split('.').all(label) {
            return Err(TunnelError::new(Code::BadName, whole));
        }
        Ok(Taken::Name(whole))
    }

    /// The port asked for; or for 0 the first that is the key's and not served, or that is nobody's.
    fn port(
        &self,
        port: u16,
        key: AgentKey,
        kind: fn(u16) -> Taken,
        unusable: &HashSet<Taken>,
    ) -> Result<Taken, TunnelError> {
        if port != 0 {
            let allowed = self.ports.contains(&port);
            return if allowed {
                Ok(kind(port))
            } else {
                Err(TunnelError::new(Code::PortNotAllowed, port.to_string()))
            };
        }
        let idle = |taken: &&Taken| match taken {
            Taken::Name(_) => false,
            Taken::Tcp(port) | Taken::Udp(port) => {
                **taken == kind(*port)
                    && self.ports.contains(port)
                    && self.serving(taken).is_none()
                    && !unusable.contains(*taken)
            }
        };
        if let Some(own) = self.owned(key).filter(idle).min() {
            return Ok(own.clone());
        }
        let free = |taken: &Taken| !self.held.contains_key(taken) && !unusable.contains(taken);
        let free = self.ports.clone().map(kind).find(free);
        free.ok_or_else(|| TunnelError::new(Code::TooManyPorts, "the relay has no free port left"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AgentKey = [1; 32];
    const B: AgentKey = [2; 32];

    fn http(name: &str) -> Claim {
        Claim::Http { name: name.into(), label: String::new() }
    }

    fn session(number: u8) -> SessionId {
        SessionId([number; 16])
    }

    #[test]
    fn a_name_stays_its_owners_and_a_new_session_evicts_the_old() {
        let mut table = ClaimTable::new("tun.example.com", 4000..=4001);
        let quota = Quota { names: 2, ports: 1, patterns: vec![] };
        let mut claim =
            |number, key, name: &str| table.claim((session(number), 1), key, &http(name), "calm-otter", &quota);
        let blog = Taken::Name("blog.tun.example.com".into());
        assert_eq!(claim(1, A, "Blog"), Ok((blog.clone(), None)));
        assert_eq!(claim(2, B, "blog.tun.example.com.").unwrap_err().code, Code::NameTaken);
        assert_eq!(claim(3, A, "blog"), Ok((blog.clone(), Some(session(1)))));
        assert_eq!(claim(3, A, ""), Ok((Taken::Name("calm-otter.tun.example.com".into()), None)));
        assert_eq!(claim(3, A, "third").unwrap_err().code, Code::TooManyNames);
        assert_eq!(claim(3, A, "a b").unwrap_err().code, Code::BadName);
        assert_eq!(claim(2, B, "tun.example.com").unwrap_err().code, Code::NameNotAllowed);
        table.end_session(session(1));
        assert_eq!(table.serving(&blog), Some((session(3), 1)));
        table.end_session(session(3));
        assert_eq!((table.serving(&blog), table.owner(&blog)), (None, Some(A)));
    }

    #[test]
    fn ports_and_patterns() {
        let mut table = ClaimTable::new("tun.example.com", 4000..=4001);
        let quota = Quota { names: 9, ports: 1, patterns: vec!["studio-*".into()] };
        let mut claim = |number, key, claim: Claim| table.claim((session(number), 1), key, &claim, "", &quota);
        assert_eq!(claim(1, A, Claim::Tcp { port: 0 }), Ok((Taken::Tcp(4000), None)));
        assert_eq!(claim(1, A, Claim::Tcp { port: 4001 }).unwrap_err().code, Code::TooManyPorts);
        assert_eq!(claim(2, B, Claim::Tcp { port: 4000 }).unwrap_err().code, Code::PortTaken);
        assert_eq!(claim(2, B, Claim::Tcp { port: 22 }).unwrap_err().code, Code::PortNotAllowed);
        assert_eq!(claim(2, B, Claim::Udp { port: 0 }), Ok((Taken::Udp(4000), None)));
        assert_eq!(claim(1, A, http("blog")).unwrap_err().code, Code::NameNotAllowed);
        assert!(claim(1, A, http("studio-x")).is_ok());
        assert!(claim(1, A, http("own.example.org")).is_ok());
    }
}
