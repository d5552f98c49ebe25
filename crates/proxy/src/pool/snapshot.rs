use std::sync::Arc;

use tokio::time::Instant;

use super::balance::rotation;
use super::member::{Fitness, Member, Why};

/// Who is in a pool and what they are good for, at one moment. Requests choose by it without a lock.
#[derive(Default)]
pub struct Snapshot {
    /// In the order in which they are to be used: well members, then well backups. Last those that failed too often or
    /// fail their checks: when nobody else is left, an answer from them is likelier than one from nobody (a check may
    /// be wrong, and it is often what all of them depend on that is down).
    pub tiers: [Tier; 3],
    /// Members that are away and may be tried from time to time.
    pub away: Box<[Arc<Member>]>,
}

/// Members that are equally good.
#[derive(Default)]
pub struct Tier {
    pub slots: Box<[Slot]>,
    /// Indexes of `slots`, each as often as its weight says, evenly mixed.
    pub rotation: Box<[u16]>,
}

pub struct Slot {
    pub member: Arc<Member>,
    pub weight: u32,
    pub ready_since: Instant,
}

/// A member as it was set.
#[derive(Clone)]
pub struct Entry {
    pub member: Arc<Member>,
    pub weight: u32,
    pub backup: bool,
}

impl Snapshot {
    pub fn of(entries: &[Entry]) -> Self {
        let mut tiers = [Vec::new(), Vec::new(), Vec::new()];
        let mut away = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.member.is_leaving()) {
            let tier = match entry.member.fitness() {
                Fitness::Ready => usize::from(entry.backup),
                Fitness::Unwell => 2,
                Fitness::Away(why) => {
                    away.push(entry.member.clone());
                    // Asking one that is not there would only be refused.
                    if why == Why::Absent {
                        continue;
                    }
                    2
                }
            };
            if let Some(slots) = tiers.get_mut(tier) {
                let ready_since = entry.member.ready_since();
                slots.push(Slot { member: entry.member.clone(), weight: entry.weight.max(1), ready_since });
            }
        }
        Self { tiers: tiers.map(Tier::of), away: away.into() }
    }
}

impl Tier {
    fn of(slots: Vec<Slot>) -> Self {
        let weights: Vec<u32> = slots.iter().map(|slot| slot.weight).collect();
        Self { rotation: rotation(&weights).into(), slots: slots.into() }
    }
}
