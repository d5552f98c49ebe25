//! Who was not let in and what was not lent, for the relay's owner: in the log, and in `doorstep status`. Strangers cannot
//! fill either.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use doorstep_proto::tunnel::{Code, TunnelError};
use doorstep_tunnel::registry::fingerprint;
use doorstep_tunnel::relay::RelayEvent;
use parking_lot::Mutex;

use crate::control::relay_status::Refusal;
use crate::limits::{
    RELAY_REFUSALS_AGAIN, RELAY_REFUSALS_IN_LOG, RELAY_REFUSALS_REMEMBERED, RELAY_REFUSALS_SHOWN, RELAY_REFUSALS_WITHIN,
};

/// What was refused so far.
#[derive(Default)]
pub struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    total: u64,
    /// The oldest first, each once.
    latest: VecDeque<Known>,
    /// When the time began in which so many lines were written.
    began: Option<Instant>,
    lines: usize,
    left_out: u64,
}

struct Known {
    text: String,
    seen: SystemTime,
    /// When it was written to the log.
    told: Option<Instant>,
}

impl Refusals {
    /// Notes what is a refusal. Gives the line for the log, unless the same was written lately, or much else.
    pub fn note(&self, event: &RelayEvent) -> Option<String> {
        self.note_at(&describe(event)?, Instant::now())
    }

    /// How many there were, and the last of them.
    pub fn shown(&self) -> (u64, Vec<Refusal>) {
        let state = self.0.lock();
        let seen = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let latest = state.latest.iter().rev().take(RELAY_REFUSALS_SHOWN);
        let latest = latest.map(|known| Refusal { what: known.text.clone(), seen_at: seen(known.seen) });
        (state.total, latest.collect())
    }

    fn note_at(&self, text: &str, now: Instant) -> Option<String> {
        let mut state = self.0.lock();
        state.total += 1;
        let same = state.latest.iter().position(|known| known.text == text);
        let told = same.and_then(|at| state.latest.remove(at)).and_then(|known| known.told);
        let again = told.is_none_or(|told| now.duration_since(told) >= RELAY_REFUSALS_AGAIN);
        let line = if again { state.line(text, now) } else { None };
        if state.latest.len() >= RELAY_REFUSALS_REMEMBERED {
            state.latest.pop_front();
        }
        let told = if line.is_some() { Some(now) } else { told };
        state.latest.push_back(Known { text: text.to_owned(), seen: SystemTime::now(), told });
        line
    }
}

impl State {
    fn line(&mut self, text: &str, now: Instant) -> Option<String> {
        if self.began.is_none_or(|began| now.duration_since(began) >= RELAY_REFUSALS_WITHIN) {
            (self.began, self.lines) = (Some(now), 0);
        }
        if self.lines >= RELAY_REFUSALS_IN_LOG {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(match std::mem::take(&mut self.left_out) {
            0 => text.to_owned(),
            more => format!("{text} ({more} other refusals before it are not in this log)"),
        })
    }
}

/// Without what differs from attempt to attempt; `None` for what is of no interest: bytes of strangers, broken connections.
fn describe(event: &RelayEvent) -> Option<String> {
    match event {
        RelayEvent::Refused { from, key, agent, error } if is_of_interest(error) => {
            let mut who = agent.as_ref().map_or_else(|| "an agent".to_owned(), |agent| format!("agent {agent}"));
            if let Some(key) = key {
                who += &format!(" with the key {}", fingerprint(key));
            }
            Some(format!("refused {who} from {}: {}", from.ip(), error.code))
        }
        RelayEvent::Denied { from, agent, claim, error } => {
            Some(format!("refused {claim} to agent {agent} from {}: {}", from.ip(), error.code))
        }
        _ => None,
    }
}

fn is_of_interest(error: &TunnelError) -> bool {
    matches!(
        error.code,
        Code::UnknownVersion
            | Code::WrongKey
            | Code::Replayed
            | Code::UnknownKey
            | Code::RevokedKey
            | Code::InvitationInvalid
            | Code::InvitationExpired
            | Code::InvitationUsed
            | Code::TooMuch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, code: Code) -> RelayEvent {
        let from = address.parse().unwrap();
        RelayEvent::Refused { from, key: Some([7; 32]), agent: Some("studio".into()), error: code.into() }
    }

    #[test]
    fn it_says_who_from_where_and_why() {
        let refusals = Refusals::default();
        let line = refusals.note(&refused("192.0.2.1:4711", Code::RevokedKey)).unwrap();
        let key = fingerprint(&[7; 32]);
        assert!(line.contains("studio") && line.contains(&key) && line.contains("192.0.2.1:"), "{line}");
        assert!(line.contains("revoked") && !line.contains("4711"), "{line}");
        let claim = "blog".to_owned();
        let from = "192.0.2.1:4711".parse().unwrap();
        let denied = RelayEvent::Denied { from, agent: "studio".into(), claim, error: Code::NameTaken.into() };
        let line = refusals.note(&denied).unwrap();
        assert!(line.contains("blog") && line.contains("belongs to somebody else"), "{line}");
        assert_eq!(refusals.note(&refused("192.0.2.1:1", Code::Malformed)), None, "anybody's bytes");
        assert_eq!(refusals.shown().0, 2);
    }

    #[test]
    fn neither_repetition_nor_a_crowd_fills_the_log() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        assert!(refusals.note_at("same", now).is_some());
        assert!(refusals.note_at("same", now).is_none());
        assert!(refusals.note_at("same", now + RELAY_REFUSALS_AGAIN).is_some());
        let now = now + RELAY_REFUSALS_AGAIN + RELAY_REFUSALS_WITHIN;
        let crowd = 10 * RELAY_REFUSALS_REMEMBERED;
        let lines = (0..crowd).filter_map(|number| refusals.note_at(&number.to_string(), now)).count();
        assert_eq!(lines, RELAY_REFUSALS_IN_LOG);
        let left_out = (crowd - lines).to_string();
        assert!(refusals.note_at("late", now + RELAY_REFUSALS_WITHIN).unwrap().contains(&left_out));
        let (total, latest) = refusals.shown();
        assert_eq!((total, latest.len()), (crowd as u64 + 4, RELAY_REFUSALS_SHOWN));
        assert_eq!(latest[0].what, "late");
        assert!(refusals.0.lock().latest.len() <= RELAY_REFUSALS_REMEMBERED);
    }
}
