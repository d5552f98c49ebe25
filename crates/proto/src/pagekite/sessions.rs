//! Which tunnel flies which kite: one for all tunnels of a front-end.

use std::collections::{BTreeMap, BTreeSet};

use super::front_end::Claim;
use super::limits::{CHALLENGE_WINDOW, MAX_REMEMBERED};
use super::{Claims, Kite, KiteSecret, Refusal, Verdict};

/// Who may fly what.
pub trait Policy {
    /// The secret of a kite; `None` if nobody may fly it.
    fn secret(&self, kite: &Kite) -> Option<KiteSecret>;

    /// Asked only of kites whose signature is right. [`Verdict::Flies`] or [`Verdict::FliesWithTls`] lets it fly.
    fn verdict(&self, kite: &Kite) -> Verdict {
        let _ = kite;
        Verdict::Flies
    }
}

/// What follows from claims.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// For [`super::FrontEnd::answer`].
    pub verdicts: Vec<(Claim, Verdict)>,
    /// Sessions to be closed at once: the same back-end is back.
    pub evict: Vec<String>,
    /// Sessions that fly what somebody else with the right secret wants: to be pinged, so that dead ones are found out.
    pub ping: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Sessions {
    flying: BTreeMap<Kite, String>,
    /// Challenges that were answered, with the window of time in which.
    answered: BTreeMap<String, u64>,
    /// The window of time when old ones were forgotten last.
    swept: u64,
}

impl Sessions {
    /// Judges `session`'s claims at `unix` seconds, and lets fly what may.
    pub fn judge(&mut self, session: &str, claims: Claims, policy: &dyn Policy, unix: u64) -> Judgement {
        let window = unix / CHALLENGE_WINDOW;
        if std::mem::replace(&mut self.swept, window) != window {
            self.answered.retain(|_, answered| *answered + 1 >= window);
        }
        let mut judgement = Judgement::default();
        for claim in claims.claims {
            let verdict = self.verdict(&claim, policy, window);
            let verdict = match verdict {
                Verdict::Flies | Verdict::FliesWithTls => {
                    self.fly(session, &claim.kite, claims.replaces.as_deref(), verdict, &mut judgement)
                }
                refused => refused,
            };
            judgement.verdicts.push((claim, verdict));
        }
        judgement
    }

    fn verdict(&mut self, claim: &Claim, policy: &dyn Policy, window: u64) -> Verdict {
        let Some(secret) = policy.secret(&claim.kite) else { return Verdict::Refused(Refusal::Unauthorized) };
        let fresh = self.answered.len() < MAX_REMEMBERED && !self.answered.contains_key(claim.challenge());
        if !fresh || !claim.is_signed_with(&secret) {
            return Verdict::Refused(Refusal::Signature);
        }
        self.answered.insert(claim.challenge().to_owned(), window);
        policy.verdict(&claim.kite)
    }

    fn fly(
        &mut self,
        session: &str,
        kite: &Kite,
        replaces: Option<&str>,
        verdict: Verdict,
        judgement: &mut Judgement,
    ) -> Verdict {
        if let Some(other) = self.flying.get(kite).filter(|other| *other != session).cloned() {
            if replaces != Some(other.as_str()) {
                push_once(&mut judgement.ping, other);
                return Verdict::Duplicate;
            }
            self.leave(&other);
            push_once(&mut judgement.evict, other);
        }
        self.flying.insert(kite.clone(), session.to_owned());
        verdict
    }

    /// A session's tunnel ended: its kites may be flown by others.
    pub fn leave(&mut self, session: &str) {
        self.flying.retain(|_, flown_by| flown_by != session);
    }

    /// One kite of a session comes down: others may fly it.
    pub fn land(&mut self, session: &str, kite: &Kite) {
        if self.flying.get(kite).is_some_and(|flown_by| flown_by == session) {
            self.flying.remove(kite);
        }
    }

    /// The session for a visitor who asks for `protocol` (`http`, `https`, `websocket`, `raw`) of `domain` on `port`.
    pub fn find(&self, protocol: &str, domain: &str, port: u16) -> Option<&str> {
        let domain = domain.to_ascii_lowercase();
        let with_port = |protocol: &str| format!("{protocol}-{port}");
        let mut names = vec![with_port(protocol), protocol.to_owned()];
        if protocol == "websocket" {
            names.extend([with_port("http"), "http".to_owned()]);
        }
        names.iter().find_map(|name| self.flying.get(&Kite::new(name, &domain).ok()?)).map(String::as_str)
    }

    /// All domains with a kite.
    pub fn domains(&self) -> BTreeSet<&str> {
        self.flying.keys().map(Kite::domain).collect()
    }

    /// What a session flies.
    pub fn kites<'a>(&'a self, session: &'a str) -> impl Iterator<Item = &'a Kite> + 'a {
        self.flying.iter().filter(move |(_, flown_by)| *flown_by == session).map(|(kite, _)| kite)
    }
}

fn push_once(list: &mut Vec<String>, session: String) {
    if !list.contains(&session) {
        list.push(session);
    }
}
