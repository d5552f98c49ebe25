//! What the relay's owner does: invite, look, revoke, switch off.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorstep_proto::tunnel::{AgentKey, Claim, Code, Invitation, Taken, TunnelError};

use super::agent::{AgentLimits, owner_id};
use super::book::{AgentRecord, Book, InvitationRecord, KeyRecord, read_shown, shown};
use super::event::RegistryEvent;
use super::ledger::Written;
use super::options::InviteOptions;
use super::report::{AgentReport, KeyReport, NameReport, SessionReport};
use super::{Inner, Registry, RegistryError, check_pattern, fingerprint, is_agent_name, now, random, sha256};
use crate::limits::{AGENT_KEYS, AGENTS, INVITATION, MAX_INVITATION, WRITTEN};

impl Registry {
    /// A line for `doorstep join`: good once, for the one who has it. For an agent that has joined before it admits another
    /// computer, which has the same names.
    ///
    /// # Errors
    /// What is wrong with the options, or with the disk.
    pub async fn invite(&self, mut options: InviteOptions) -> Result<String, RegistryError> {
        let inner = &*self.0;
        // Whole names are what people copy: under the relay's domain they are meant, too.
        let beneath = format!(".{}", inner.options.domain);
        for pattern in options.names.iter_mut().flatten() {
            if let Some(label) = pattern.strip_suffix(&beneath) {
                *pattern = label.to_owned();
            }
        }
        let name = agent_name(&options.agent)?;
        let life = options.expires.unwrap_or(INVITATION);
        if life > MAX_INVITATION || life.is_zero() {
            let days = MAX_INVITATION.as_secs() / (24 * 3600);
            return Err(refused(
                format!("an invitation is good for {days} days at most"),
                "Leave --expires away: one hour is plenty.",
            ));
        }
        for pattern in options.names.iter().flatten() {
            check_pattern(pattern).map_err(|what| refused(what, "Write names such as blog or studio-*."))?;
        }
        inner.lead_or_refuse().await?;
        let no_random = || refused("this computer gave no random numbers".to_owned(), "");
        let id = random::<16>().ok_or_else(no_random)?;
        let expires = now() + life.as_secs();
        let mut invitation = Invitation {
            id,
            expires,
            pin: Some(inner.identity.pin()),
            relay: inner.options.address.clone(),
            mac: [0; 32],
        };
        let mac = hmac::sign(&inner.secret, &invitation.signed_part());
        invitation.mac.copy_from_slice(mac.as_ref());
        let written = {
            let mut book = inner.memory.book.lock();
            book.forget_old_invitations();
            if book.invitations.len() >= AGENTS {
                return Err(refused(
                    "there are too many invitations".to_owned(),
                    "They expire by themselves; wait for it.",
                ));
            }
            let limits = {
                let known = book.agents.get(&name).filter(|agent| !agent.is_revoked());
                options.limits(known, &inner.settings.load().limits)
            };
            book.invitations.insert(id, InvitationRecord { agent: name, expires, limits, used_by: None });
            let change = book.agents_ledger.changed(move |book| drop(book.invitations.remove(&id)));
            book.agents_ledger.wait(change)
        };
        inner.written(written).await?;
        Ok(URL_SAFE_NO_PAD.encode(invitation.encode()))
    }

    /// Lets nobody in any more as this agent, or by this key (its fingerprint): sessions end at once. Names stay owned: a new
    /// invitation of the same agent has them again, and [`Self::forget`] frees them. Says which agent it was.
    ///
    /// # Errors
    /// There is no such agent or key; the disk.
    pub async fn revoke(&self, what: &str) -> Result<String, RegistryError> {
        let inner = &*self.0;
        inner.lead_or_refuse().await?;
        let (name, keys, written) = {
            let mut book = inner.memory.book.lock();
            let by_print =
                |(key, name): (&AgentKey, &Arc<str>)| (fingerprint(key) == what).then(|| (name.clone(), Some(*key)));
            let by_name = book.agents.get_key_value(what).map(|(name, _)| (name.clone(), None));
            let (name, only) = by_name.or_else(|| book.keys.iter().find_map(by_print)).ok_or_else(|| {
                refused(
                    format!("there is no agent {what:?}"),
                    "`doorstep relay agents` lists them, with the fingerprints of their keys.",
                )
            })?;
            let before = book.agents.get(&name).cloned();
            let mut keys = Vec::new();
            if let Some(record) = book.agents.get_mut(&name) {
                for key in record.keys.iter_mut().filter(|key| only.is_none_or(|only| key.key == only) && !key.revoked)
                {
                    key.revoked = true;
                    keys.push(key.key);
                }
            }
            let open: Vec<_> = match only {
                // Nobody is to come back by an invitation from before.
                None => {
                    let of = |record: &InvitationRecord| record.agent == name && record.used_by.is_none();
                    book.invitations.extract_if(.., |_, record| of(record)).collect()
                }
                Some(_) => Vec::new(),
            };
            let undone = name.clone();
            let change = book.agents_ledger.changed(move |book| {
                if let Some(before) = before {
                    book.agents.insert(undone, before);
                }
                book.invitations.extend(open);
            });
            (name, keys, book.agents_ledger.wait(change))
        };
        // At once: whether it lasts is then seen.
        inner.expel(&name, &keys);
        inner.written(written).await?;
        Ok(name.to_string())
    }

    /// Switches a name off: visitors and its agent are told so, and streams are cut. Says which name it was.
    ///
    /// # Errors
    /// Nobody has the name; the disk.
    pub async fn stop_name(&self, name: &str) -> Result<String, RegistryError> {
        self.switch(name, true).await
    }

    /// Switches it on again.
    ///
    /// # Errors
    /// It is not off; the disk.
    pub async fn start_name(&self, name: &str) -> Result<String, RegistryError> {
        self.switch(name, false).await
    }

    /// Frees a name or port (`tcp/20000`): whoever claims it first has it. Says which it was.
    ///
    /// # Errors
    /// Nobody has it; the disk.
    pub async fn forget(&self, what: &str) -> Result<String, RegistryError> {
        let inner = &*self.0;
        inner.lead_or_refuse().await?;
        let taken = read_shown(what, inner.domain.as_str());
        let written = {
            let mut book = inner.memory.book.lock();
            if book.claims.owner(&taken).is_none() {
                return Err(unowned(&taken));
            }
            inner.forget_taken(&mut book, &taken, TunnelError::new(Code::Withdrawn, shown(&taken)))
        };
        inner.written(written).await?;
        Ok(shown(&taken))
    }

    /// Lets somebody in who has an ssh key and no doorstep: `ssh-ed25519 AAAA… comment`. Makes the agent if there is none.
    /// Says the key's fingerprint.
    ///
    /// # Errors
    /// What is wrong with the key; the disk.
    pub async fn add_ssh_key(&self, agent: &str, line: &str) -> Result<String, RegistryError> {
        let inner = &*self.0;
        let name = agent_name(agent)?;
        let (key, comment) = parse_ssh_key(line).map_err(|what| {
            refused(what, "Give the line of a public key, such as the one in ~/.ssh/id_ed25519.pub.")
        })?;
        inner.lead_or_refuse().await?;
        let written = {
            let mut book = inner.memory.book.lock();
            if let Some(owner) = book.keys.get(&key) {
                return Err(refused(
                    format!("this key is {owner}'s already"),
                    "`doorstep relay agents` shows it; a revoked key never comes back.",
                ));
            }
            let before = book.agents.get(&name).cloned();
            if before.as_ref().is_some_and(|record| record.keys.len() >= AGENT_KEYS) || book.agents.len() >= AGENTS {
                return Err(refused(
                    format!("an agent has at most {AGENT_KEYS} keys"),
                    "Give the next one another agent's name.",
                ));
            }
            let record = book.agents.entry(name.clone());
            let record = record.or_insert_with(|| AgentRecord::new(inner.settings.load().limits.clone(), now()));
            record.keys.push(KeyRecord { key, comment, added: now(), revoked: false });
            book.keys.insert(key, name.clone());
            let change = book.agents_ledger.changed(move |book| {
                book.keys.remove(&key);
                match before {
                    Some(before) => book.agents.insert(name, before),
                    None => book.agents.remove(&name),
                };
            });
            book.agents_ledger.wait(change)
        };
        inner.written(written).await?;
        Ok(fingerprint(&key))
    }

    /// Everybody that was ever let in, in order of their names.
    pub fn agents(&self) -> Vec<AgentReport> {
        let book = self.0.memory.book.lock();
        let mut sessions: std::collections::HashMap<&str, Vec<SessionReport>> = Default::default();
        for session in book.sessions.values() {
            sessions.entry(&session.agent.name).or_default().push(SessionReport {
                fingerprint: fingerprint(&session.agent.key),
                since: session.since,
                from: session.from,
                software: session.software.clone(),
                round_trip: session.round_trip,
            });
        }
        let report = |(name, record): (&Arc<str>, &AgentRecord)| {
            let mut owned: Vec<&Taken> = book.claims.owned(owner_id(name)).collect();
            owned.sort_unstable();
            let (names, ports) = owned.into_iter().partition::<Vec<_>, _>(|taken| matches!(taken, Taken::Name(_)));
            let mut sessions = sessions.remove(&**name).unwrap_or_default();
            sessions.sort_by_key(|session| session.since);
            AgentReport {
                name: name.clone(),
                keys: record.keys.iter().map(KeyReport::from).collect(),
                revoked: record.is_revoked(),
                joined: UNIX_EPOCH + Duration::from_secs(record.joined),
                limits: record.limits.clone(),
                usage: record.meter.usage(),
                sessions,
                names: names.into_iter().map(shown).collect(),
                ports: ports.into_iter().map(shown).collect(),
            }
        };
        book.agents.iter().map(report).collect()
    }

    /// Every name and port that has an owner, in order.
    pub fn names(&self) -> Vec<NameReport> {
        let mut all = Vec::new();
        let book = self.0.memory.book.lock();
        for (owner, agent) in &book.owners {
            for taken in book.claims.owned(*owner) {
                let place = match taken {
                    Taken::Name(host) => self.0.places.get(host),
                    Taken::Tcp(_) | Taken::Udp(_) => None,
                };
                let tls =
                    place.and_then(|place| place.lent()).is_some_and(|lent| matches!(lent.claim, Claim::Tls { .. }));
                all.push(NameReport {
                    name: shown(taken),
                    agent: agent.clone(),
                    lent: book.claims.serving(taken).is_some(),
                    tls,
                    stopped: matches!(taken, Taken::Name(host) if book.stopped.contains(host)),
                });
            }
        }
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    async fn switch(&self, name: &str, off: bool) -> Result<String, RegistryError> {
        let inner = &*self.0;
        inner.lead_or_refuse().await?;
        let Taken::Name(host) = read_shown(name, inner.domain.as_str()) else {
            return Err(refused(
                format!("{name} is a port, not a name"),
                "`doorstep relay forget` takes a port back; `revoke` its agent.",
            ));
        };
        let written = {
            let mut book = inner.memory.book.lock();
            let taken = Taken::Name(host.clone());
            match off {
                true if book.claims.owner(&taken).is_none() => return Err(unowned(&taken)),
                true => book.stopped.insert(host.clone()),
                false if book.stopped.remove(&host) => true,
                false => {
                    return Err(refused(
                        format!("{host} is not switched off"),
                        "`doorstep relay names` shows what is.",
                    ));
                }
            };
            let (places, undone) = (inner.places.clone(), host.clone());
            places.make_one(&host).set_stopped(off);
            if off && let Some((session, id)) = book.claims.serving(&taken) {
                book.claims.release(session, id);
                inner.leave(&taken);
                let error = TunnelError::new(Code::SwitchedOff, host.as_str());
                let _ = inner.events.send(RegistryEvent::ClaimWithdrawn { session, id, error });
            }
            let change = book.names_ledger.changed(move |book| {
                match off {
                    true => book.stopped.remove(&undone),
                    false => book.stopped.insert(undone.clone()),
                };
                places.make_one(&undone).set_stopped(!off);
            });
            book.names_ledger.wait(change)
        };
        inner.written(written).await?;
        Ok(host)
    }
}

impl Inner {
    async fn lead_or_refuse(&self) -> Result<(), RegistryError> {
        self.leading().await.map_err(|error| refused(error.detail, "Try again in a moment."))
    }

    async fn written(&self, written: Written) -> Result<(), RegistryError> {
        self.memory.wake();
        match tokio::time::timeout(WRITTEN, written).await {
            Ok(Ok(written)) => written.map_err(RegistryError::NotWritten),
            Ok(Err(_)) => Err(RegistryError::NotWritten("the relay is ending".to_owned())),
            Err(_) => Err(RegistryError::NotWritten("the disk does not answer".to_owned())),
        }
    }

    /// Ends what agents with these keys have at the moment.
    fn expel(&self, name: &Arc<str>, keys: &[AgentKey]) {
        let mut book = self.memory.book.lock();
        let of = |key: &AgentKey| keys.contains(key);
        let sessions: Vec<_> =
            book.sessions.iter().filter(|(_, session)| of(&session.agent.key)).map(|(id, _)| *id).collect();
        for session in sessions {
            self.end_session(&mut book, session);
        }
        if book.agents.get(name).is_some_and(AgentRecord::is_revoked) {
            let owned: Vec<_> = book.claims.owned(owner_id(name)).cloned().collect();
            // Visitors who wait for it wait in vain.
            owned.iter().for_each(|taken| self.leave_for_now(taken));
        }
        for key in keys {
            let _ = self.events.send(RegistryEvent::AgentRevoked { key: *key, name: name.clone() });
        }
    }

    /// Takes a name or port from whoever has it.
    pub(super) fn forget_taken(&self, book: &mut Book, taken: &Taken, error: TunnelError) -> Written {
        let owner = book.claims.owner(taken);
        if let Some((session, id)) = book.claims.forget(taken) {
            self.leave(taken);
            let _ = self.events.send(RegistryEvent::ClaimWithdrawn { session, id, error });
        }
        book.unsaved.remove(taken);
        let was_stopped = match taken {
            Taken::Name(host) => {
                book.proven.remove(host);
                self.places.remove(host);
                let _ = self.events.send(RegistryEvent::NameForgotten { host: host.as_str().into() });
                book.stopped.remove(host)
            }
            Taken::Tcp(port) => {
                self.leases.close_tcp(*port);
                false
            }
            Taken::Udp(port) => {
                self.leases.close_udp(*port);
                false
            }
        };
        let (taken, places) = (taken.clone(), self.places.clone());
        let change = book.names_ledger.changed(move |book| {
            if let Some(owner) = owner {
                book.claims.restore(owner, taken.clone());
            }
            if let Taken::Name(host) = taken {
                places.make_one(&host).set_stopped(was_stopped);
                if was_stopped {
                    book.stopped.insert(host);
                }
            }
        });
        book.names_ledger.wait(change)
    }
}

impl Book {
    fn forget_old_invitations(&mut self) {
        let now = now();
        self.invitations.retain(|_, record| record.expires > now);
    }
}

impl InviteOptions {
    fn limits(self, agent: Option<&AgentRecord>, usual: &AgentLimits) -> AgentLimits {
        let usual = agent.map_or_else(|| usual.clone(), |agent| (*agent.limits).clone());
        AgentLimits {
            names: self.names.unwrap_or(usual.names),
            most_names: self.most_names.unwrap_or(usual.most_names),
            ports: self.ports.unwrap_or(usual.ports),
            streams: self.streams.unwrap_or(usual.streams),
            rate: self.rate.or(usual.rate),
            requests: self.requests.or(usual.requests),
            until: self.until.or(usual.until),
        }
    }
}

impl From<&KeyRecord> for KeyReport {
    fn from(record: &KeyRecord) -> Self {
        Self { fingerprint: fingerprint(&record.key), comment: record.comment.clone(), revoked: record.revoked }
    }
}

/// The key of a line as in `authorized_keys` without options (sshd(8)), and its comment or kind. Ed25519 keys as they are,
/// of others the SHA-256 of the blob.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ssh_key(line: &str) -> Result<(AgentKey, String), String> {
    let mut words = line.trim().splitn(3, char::is_whitespace);
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Err("this is not the line of a public ssh key".to_owned());
    };
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-sha2-") || kind.starts_with("sk-");
    if kind.starts_with("-----") || !known || kind == "ssh-dss" {
        return Err(format!("{kind:?} is not a kind of ssh key that the relay takes"));
    }
    let blob = STANDARD.decode(blob).map_err(|_| "the key is cut off or changed: it is not base64".to_owned())?;
    let broken = || "the key is cut off or changed".to_owned();
    let field = |bytes: &[u8]| -> Option<(Vec<u8>, usize)> {
        let length = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
        Some((bytes.get(4..4usize.checked_add(length)?)?.to_vec(), 4 + length))
    };
    let (inner, used) = field(&blob).ok_or_else(broken)?;
    if inner != kind.as_bytes() {
        return Err(broken());
    }
    let (key, more) = field(&blob[used..]).ok_or_else(broken)?;
    let comment = match words.next().map(str::trim).filter(|comment| !comment.is_empty()) {
        Some(comment) => {
            format!("{kind} {}", comment.chars().filter(|c| !c.is_control()).take(100).collect::<String>())
        }
        None => kind.to_owned(),
    };
    if kind == "ssh-ed25519" {
        let whole = used + more == blob.len();
        return Ok((key.try_into().ok().filter(|_| whole).ok_or_else(broken)?, comment));
    }
    Ok((sha256(&blob), comment))
}

fn agent_name(name: &str) -> Result<Arc<str>, RegistryError> {
    match is_agent_name(name) {
        true => Ok(name.into()),
        false => Err(refused(
            format!("{name:?} is no name for an agent"),
            "Use up to 64 letters, digits, `-`, `_` and `.`, such as studio or anna-laptop.",
        )),
    }
}

fn unowned(taken: &Taken) -> RegistryError {
    refused(format!("{} is nobody's", shown(taken)), "`doorstep relay names` shows whose is what.")
}

fn refused(what: String, fix: &str) -> RegistryError {
    RegistryError::Refused { what, fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB anna@laptop";

    #[test]
    fn lines_of_ssh_keys() {
        assert_eq!(parse_ssh_key(ED25519).unwrap(), ([1; 32], "ssh-ed25519 anna@laptop".to_owned()));
        let alone = ED25519.rsplit_once(' ').unwrap().0;
        assert_eq!(parse_ssh_key(alone).unwrap().1, "ssh-ed25519");
        for cut in 1..alone.len() {
            assert!(parse_ssh_key(&alone[..cut]).is_err(), "{cut}");
        }
        let renamed = ED25519.replacen("ssh-ed25519", "ssh-rsa", 1);
        assert!(parse_ssh_key(&renamed).unwrap_err().contains("changed"));
        assert!(parse_ssh_key("-----BEGIN OPENSSH PRIVATE KEY----- x").is_err());
        let blob = [&[0, 0, 0, 7][..], b"ssh-rsa", &[0, 0, 0, 3, 1, 0, 1]].concat();
        let rsa = format!("ssh-rsa {}", STANDARD.encode(&blob));
        assert_eq!(parse_ssh_key(&rsa).unwrap(), (sha256(&blob), "ssh-rsa".to_owned()));
    }
}
