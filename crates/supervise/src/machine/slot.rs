use std::time::Instant;

use doorstep_model::Backoff;

use crate::limits;

/// The place of one instance among an app's: it remembers how the ones before fared.
#[derive(Debug)]
pub(crate) struct Slot {
    backoff: Backoff,
    /// Nothing is started here before.
    pub not_before: Option<Instant>,
    /// Exits in a row, each without a good run.
    early: u32,
}

impl Default for Slot {
    fn default() -> Self {
        Self { backoff: Backoff::new(limits::RESTART_FIRST, limits::RESTART_MOST), not_before: None, early: 0 }
    }
}

impl Slot {
    /// An instance ended by itself; `ready_since` if it was ready. Returns how often in a row without a good run between.
    pub fn failed(&mut self, ready_since: Option<Instant>, now: Instant, random: u64) -> u32 {
        if ready_since.is_some_and(|since| now.duration_since(since) >= limits::GOOD_RUN) {
            self.forget();
            return 0;
        }
        self.early += 1;
        // The first crash of an instance that worked is mended at once.
        let at_once = self.early == 1 && ready_since.is_some();
        self.not_before = (!at_once).then(|| now + self.backoff.next(random));
        self.early
    }

    /// It works, or is another program now.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    pub fn has_failures(&self) -> bool {
        self.early > 0
    }

    pub fn is_looping(&self) -> bool {
        self.early >= limits::CRASH_LOOP
    }
}
