use std::sync::atomic::Ordering;
use std::time::Duration;

use doorstep_model::{Balance, HashKey};
use tokio::time::Instant;

use super::balance::{attraction, dice};
use super::member::{InFlight, Trial};
use super::membership::Membership;
use super::snapshot::{Slot, Snapshot, Tier};
use crate::idle::PoolKey;
use crate::limits;

/// What a request asks of the choice.
pub struct Wish<'a> {
    pub balance: &'a Balance,
    /// Where [`Balance::Hash`] finds a key; a request without one takes its turn.
    pub key: Option<u64>,
    pub slow_start: Option<Duration>,
    /// Members that failed this very request: others come first.
    pub tried: &'a [PoolKey],
    /// Whether it may go to a member that is away, to see if it is back: it can be sent again if not.
    pub may_try: bool,
}

pub enum Choice {
    Use(InFlight, Option<Trial>),
    /// Nobody is there. Worth another look when the membership changes, or then.
    Nobody {
        again: Option<Instant>,
    },
}

impl Membership {
    /// A member for one request.
    pub fn choose(&self, wish: &Wish<'_>) -> Choice {
        let snapshot = self.snapshot();
        let nobody_well = snapshot.tiers.iter().all(|tier| tier.slots.is_empty());
        if !snapshot.away.is_empty()
            && (wish.may_try || nobody_well)
            && let Some((lease, trial)) = trial(&snapshot, wish)
        {
            return Choice::Use(lease, Some(trial));
        }
        let untried = |slot: &Slot| !wish.tried.contains(&slot.member.key);
        let picked = snapshot.tiers.iter().find_map(|tier| self.pick(tier, wish, untried)).or_else(|| {
            // All have been tried: the same once more.
            snapshot.tiers.iter().find_map(|tier| self.pick(tier, wish, |_| true))
        });
        match picked {
            Some(lease) => Choice::Use(lease, None),
            None => Choice::Nobody { again: snapshot.away.iter().filter_map(|member| member.due()).min() },
        }
    }

    fn pick(&self, tier: &Tier, wish: &Wish<'_>, allowed: impl Fn(&Slot) -> bool) -> Option<InFlight> {
        match tier.slots.as_ref() {
            [] => return None,
            [only] => return if allowed(only) { only.member.enter() } else { None },
            _ => {}
        }
        let usable = |slot: &Slot| allowed(slot) && !slot.member.is_leaving();
        let chosen = match (wish.balance, wish.key) {
            (Balance::Hash(_), Some(key)) => strongest(tier, key, wish, &usable),
            (Balance::RoundRobin | Balance::Hash(_), _) => self.next(tier, wish, &usable),
            (Balance::LeastConnections, _) => self.least_busy(tier, wish, &usable),
            (Balance::RandomTwo, _) => random_two(tier, wish, &usable).or_else(|| self.least_busy(tier, wish, &usable)),
        };
        // It may have begun to leave just now.
        chosen
            .and_then(|slot| slot.member.enter())
            .or_else(|| tier.slots.iter().filter(|slot| usable(slot)).find_map(|slot| slot.member.enter()))
    }

    /// Each in turn.
    fn next<'a>(&self, tier: &'a Tier, wish: &Wish<'_>, usable: &impl Fn(&Slot) -> bool) -> Option<&'a Slot> {
        let start = self.turn().fetch_add(1, Ordering::Relaxed);
        let turns = tier.rotation.len();
        let in_turn = (0..turns).filter_map(|step| {
            let turn = tier.rotation.get(start.wrapping_add(step) % turns)?;
            tier.slots.get(usize::from(*turn)).filter(|slot| usable(slot))
        });
        let mut cold = None;
        for slot in in_turn {
            if is_lucky(slot, wish) {
                return Some(slot);
            }
            cold.get_or_insert(slot);
        }
        cold
    }

    fn least_busy<'a>(&self, tier: &'a Tier, wish: &Wish<'_>, usable: &impl Fn(&Slot) -> bool) -> Option<&'a Slot> {
        // Among equals it is not always the first.
        let (before, after) = {
            let start = self.turn().fetch_add(1, Ordering::Relaxed) % tier.slots.len();
            tier.slots.split_at(start)
        };
        after.iter().chain(before).filter(|slot| usable(slot)).min_by(|a, b| load(a, wish).total_cmp(&load(b, wish)))
    }
}

/// A member that was away for long enough to be asked again.
fn trial(snapshot: &Snapshot, wish: &Wish<'_>) -> Option<(InFlight, Trial)> {
    let now = Instant::now();
    let mut candidates = snapshot.away.iter().filter(|member| !wish.tried.contains(&member.key));
    candidates.find_map(|member| {
        let trial = member.try_again(now)?;
        Some((member.enter()?, trial))
    })
}

fn random_two<'a>(tier: &'a Tier, wish: &Wish<'_>, usable: &impl Fn(&Slot) -> bool) -> Option<&'a Slot> {
    let throw = || {
        let turns = tier.rotation.len() as u64;
        let turn = tier.rotation.get(usize::try_from(dice() % turns.max(1)).ok()?)?;
        tier.slots.get(usize::from(*turn)).filter(|slot| usable(slot))
    };
    // Weights are in the throw already; what is compared is only how busy the two are.
    let busy = |slot: &Slot| slot.member.in_flight() as f64 / warmth(slot, wish);
    match (throw(), throw()) {
        (Some(one), Some(other)) => Some(if busy(other) < busy(one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn strongest<'a>(tier: &'a Tier, key: u64, wish: &Wish<'_>, usable: &impl Fn(&Slot) -> bool) -> Option<&'a Slot> {
    let best = |lucky: bool| {
        let candidates = tier.slots.iter().filter(|slot| usable(slot) && (!lucky || is_lucky(slot, wish)));
        let drawn = candidates.map(|slot| (attraction(key, &slot.member.id, slot.weight), slot));
        drawn.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, slot)| slot)
    };
    best(true).or_else(|| best(false))
}

/// Requests under way per share.
fn load(slot: &Slot, wish: &Wish<'_>) -> f64 {
    (slot.member.in_flight() + 1) as f64 / (f64::from(slot.weight) * warmth(slot, wish))
}

/// Whether a member that came lately gets this request, which would be its.
fn is_lucky(slot: &Slot, wish: &Wish<'_>) -> bool {
    let warmth = warmth(slot, wish);
    warmth >= 1.0 || (dice() >> 11) as f64 / ((1u64 << 53) as f64) < warmth
}

/// The part of its share that a member gets, growing from [`limits::COLDEST`] to 1 over the slow start.
fn warmth(slot: &Slot, wish: &Wish<'_>) -> f64 {
    let Some(slow_start) = wish.slow_start.filter(|time| !time.is_zero()) else { return 1.0 };
    (slot.ready_since.elapsed().as_secs_f64() / slow_start.as_secs_f64()).clamp(limits::COLDEST, 1.0)
}

/// Whether requests are told apart by a cookie of ours.
pub fn sticky_cookie(balance: &Balance) -> Option<&str> {
    match balance {
        Balance::Hash(HashKey::Cookie(name)) => Some(name),
        _ => None,
    }
}
