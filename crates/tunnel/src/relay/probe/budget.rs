use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{AGENT_PROBE_EVERY, AGENT_PROBES, PROBERS, PROBES};

/// How often may be looked.
pub(in crate::relay) struct Budget {
    at_once: Arc<Semaphore>,
    agents: Mutex<HashMap<Arc<str>, Bucket>>,
    made: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    since: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(PROBES)), agents: Mutex::default(), made: AtomicU64::new(0) }
    }
}

impl Budget {
    /// A look, for as long as what is returned is held.
    ///
    /// # Errors
    /// After how many seconds to ask again.
    pub fn take(&self, agent: &Arc<str>) -> Result<OwnedSemaphorePermit, u32> {
        let permit = self.at_once.clone().try_acquire_owned().map_err(|_| 1_u32)?;
        let mut agents = self.agents.lock();
        let now = Instant::now();
        if agents.len() >= PROBERS {
            agents.retain(|_, bucket| bucket.at(now).left < AGENT_PROBES);
        }
        // Where so many ask at once, those that are not known yet wait for a place.
        if agents.len() >= PROBERS && !agents.contains_key(agent) {
            return Err(60);
        }
        let bucket = agents.entry(agent.clone()).or_insert(Bucket { left: AGENT_PROBES, since: now });
        *bucket = bucket.at(now);
        if bucket.left == 0 {
            let wait = AGENT_PROBE_EVERY.saturating_sub(now.saturating_duration_since(bucket.since));
            return Err(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1));
        }
        bucket.left -= 1;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(permit)
    }

    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Bucket {
    /// With what came back since.
    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.since).as_secs() / AGENT_PROBE_EVERY.as_secs();
        let back = u32::try_from(passed).unwrap_or(u32::MAX);
        if back == 0 {
            return self;
        }
        Self { left: self.left.saturating_add(back).min(AGENT_PROBES), since: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_has_its_own_and_all_together_no_more_than_the_whole() {
        let budget = Budget::default();
        let agent: Arc<str> = "studio".into();
        for _ in 0..AGENT_PROBES {
            assert!(budget.take(&agent).is_ok());
        }
        assert!(budget.take(&agent).is_err_and(|again| (1..=6).contains(&again)));
        let other: Arc<str> = "attic".into();
        assert!(budget.take(&other).is_ok());
        let all: Vec<_> = (0..PROBES + 9).filter_map(|n| budget.take(&format!("a{n}").into()).ok()).collect();
        assert_eq!(all.len(), PROBES);
        assert!(budget.take(&"late".into()).is_err());
        drop(all);
        assert!(budget.take(&"late".into()).is_ok());
    }

    #[test]
    fn what_was_used_comes_back() {
        let then = Instant::now();
        let empty = Bucket { left: 0, since: then };
        assert_eq!(empty.at(then + AGENT_PROBE_EVERY * 3).left, 3);
        assert_eq!(empty.at(then + AGENT_PROBE_EVERY * 1000).left, AGENT_PROBES);
        assert_eq!(empty.at(then + AGENT_PROBE_EVERY / 2).left, 0);
    }
}
