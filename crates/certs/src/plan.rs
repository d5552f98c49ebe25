//! What to do next about one certificate: decisions without clocks, sockets or files.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::leaf::{Life, since_1970};
use crate::limits::{RENEWAL_INFO_AT_LEAST, RETRY_MOST};

/// What is known when a decision is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Of the certificate that is served.
    pub life: Option<Life>,
    /// What its authority suggests (RFC 9773).
    pub suggestion: Option<Suggestion>,
    /// Whether its authority should be asked for a suggestion at all.
    pub asks: bool,
    /// Not before this, after failures or by the authority's limits.
    pub retry_at: Option<SystemTime>,
    /// Somebody wants a new one now.
    pub asked: bool,
    /// The names or the source of the certificate are no longer what is wanted.
    pub unfit: bool,
    /// Spreads renewals, so that a thousand certificates of one day are not renewed in one minute.
    pub spread: u64,
}

/// A renewal window and when to ask for it again. Seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suggestion {
    pub start: i64,
    pub end: i64,
    pub ask_again: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Obtain,
    AskForSuggestion,
    Wait { until: SystemTime },
}

pub(crate) fn plan(now: SystemTime, facts: &Facts) -> Step {
    if facts.asked {
        return Step::Obtain;
    }
    let due = renewal_at(facts);
    // A clock that was set back must not make a wait longer than it can have been meant.
    let retry_at = facts.retry_at.map(|at| at.min(now + RETRY_MOST)).filter(|at| *at > now);
    if due <= now {
        return match retry_at {
            Some(until) => Step::Wait { until },
            None => Step::Obtain,
        };
    }
    if !facts.asks {
        return Step::Wait { until: due };
    }
    let ask_at = match &facts.suggestion {
        Some(suggestion) => since_1970(suggestion.ask_again).min(now + RENEWAL_INFO_AT_LEAST),
        None => now,
    };
    if ask_at <= now { Step::AskForSuggestion } else { Step::Wait { until: due.min(ask_at) } }
}

/// When the next certificate should be asked for: in the window that the authority suggests, else when about two thirds
/// of its life are over; at once where there is none.
pub(crate) fn renewal_at(facts: &Facts) -> SystemTime {
    let Some(life) = facts.life.filter(|_| !facts.unfit) else { return SystemTime::UNIX_EPOCH };
    let two_thirds = life.part(2, 3);
    match &facts.suggestion {
        Some(suggestion) if suggestion.start < suggestion.end => {
            let (start, end) = (since_1970(suggestion.start), since_1970(suggestion.end));
            let picked = start + share(end.duration_since(start).unwrap_or_default(), facts.spread);
            // An authority cannot talk us into letting the certificate run out.
            picked.min(life.part(9, 10))
        }
        _ => two_thirds - share(life.length() / 20, facts.spread),
    }
}

/// The part of `whole` that `spread`, a number evenly spread over all of `u64`, stands for.
fn share(whole: Duration, spread: u64) -> Duration {
    whole.mul_f64((spread >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use doorstep_model::Backoff;

    use super::*;
    use crate::limits::RETRY_FIRST;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn start() -> SystemTime {
        since_1970(1_800_000_000)
    }

    fn held(days: u32) -> Facts {
        Facts { life: Some(Life { from: start(), to: start() + DAY * days }), ..Facts::default() }
    }

    #[test]
    fn at_once_without_one_and_at_two_thirds_with_one() {
        assert_eq!(plan(start(), &Facts::default()), Step::Obtain);
        let facts = held(90);
        assert_eq!(plan(start(), &facts), Step::Wait { until: start() + DAY * 60 });
        assert_eq!(plan(start() + DAY * 60, &facts), Step::Obtain);
        let early = Facts { spread: u64::MAX, ..facts.clone() };
        assert!(matches!(plan(start(), &early), Step::Wait { until } if until < start() + DAY * 56));
        assert_eq!(plan(start(), &Facts { asked: true, retry_at: Some(start() + DAY), ..facts.clone() }), Step::Obtain);
        assert_eq!(plan(start(), &Facts { unfit: true, ..facts }), Step::Obtain);
    }

    #[test]
    fn the_authority_moves_renewals_forward_and_back_but_not_past_the_end() {
        let suggestion = |from: i64, to: i64| Suggestion {
            start: crate::leaf::seconds(start()) + from * 86400,
            end: crate::leaf::seconds(start()) + to * 86400,
            ask_again: crate::leaf::seconds(start()) + 3600,
        };
        let with = |suggestion| Facts { suggestion: Some(suggestion), asks: true, ..held(90) };
        assert_eq!(plan(start(), &with(suggestion(-2, -1))), Step::Obtain);
        assert_eq!(renewal_at(&with(suggestion(70, 71))), start() + DAY * 70);
        assert_eq!(renewal_at(&with(suggestion(100, 200))), start() + DAY * 81);
        // Before it is due, the authority is asked again when it wanted to be.
        let facts = with(suggestion(70, 71));
        assert_eq!(plan(start(), &facts), Step::Wait { until: start() + Duration::from_secs(3600) });
        assert_eq!(plan(start() + Duration::from_secs(3600), &facts), Step::AskForSuggestion);
        assert_eq!(plan(start(), &Facts { asks: true, ..held(90) }), Step::AskForSuggestion);
    }

    #[test]
    fn a_clock_set_back_does_not_make_a_wait_endless() {
        let facts = Facts { retry_at: Some(start() + DAY * 365), ..Facts::default() };
        assert_eq!(plan(start(), &facts), Step::Wait { until: start() + RETRY_MOST });
        // A certificate from the future is not renewed for that.
        assert!(matches!(plan(start() - DAY * 30, &held(90)), Step::Wait { .. }));
    }

    /// An hour of an authority that answers nobody, in virtual time: few attempts, and one soon after it is back.
    #[test]
    fn an_authority_that_is_down_for_an_hour() {
        let (mut now, mut facts) = (start(), Facts::default());
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let back = start() + Duration::from_secs(3600);
        let mut attempts = 0;
        loop {
            match plan(now, &facts) {
                Step::Obtain if now >= back => break,
                Step::Obtain => {
                    attempts += 1;
                    facts.retry_at = Some(now + backoff.next(u64::MAX / 2));
                }
                Step::Wait { until } => now = until,
                Step::AskForSuggestion => unreachable!("there is no certificate yet"),
            }
        }
        assert!((4..=12).contains(&attempts), "{attempts} attempts");
        assert!(now <= back + Duration::from_secs(3600), "only {:?} after", now.duration_since(back));
    }
}
