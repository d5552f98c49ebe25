use std::time::{Duration, Instant};

/// How fast a body comes: only time spent waiting for the client counts.
#[derive(Default)]
pub(crate) struct Pace {
    waiting_since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn waiting(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn arrived(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Whether the client kept us waiting for `window` and sent less than `min_rate` bytes per second meanwhile.
    /// A client that kept the pace starts a new window.
    pub(crate) fn is_too_slow(&mut self, window: Duration, min_rate: u64) -> bool {
        let waited = self.waited + self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        if waited < window {
            return false;
        }
        if self.bytes < min_rate.saturating_mul(window.as_secs().max(1)) {
            return true;
        }
        *self = Self { waiting_since: self.waiting_since.map(|_| Instant::now()), ..Self::default() };
        false
    }
}
