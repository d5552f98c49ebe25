use std::time::Duration;

use crate::limits::{RECONNECT_FIRST, RECONNECT_MOST};

/// How long to wait before the next attempt.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After one more failure: from [`RECONNECT_FIRST`] doubled up to [`RECONNECT_MOST`], of which up to a half is left to
    /// `random`, so that agents that lost the same relay do not come back as one.
    pub fn next(&mut self, random: u64) -> Duration {
        let most = RECONNECT_FIRST.saturating_mul(1 << self.failures.min(16)).min(RECONNECT_MOST);
        self.failures = self.failures.saturating_add(1);
        most / 2 + (most / 2).mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers the waits are all the same, which is no fault of consequence.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_spreads() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0), Duration::from_millis(100));
        assert!(backoff.next(u64::MAX) <= Duration::from_millis(400));
        for _ in 0..100 {
            backoff.next(0);
        }
        assert_eq!(backoff.next(0), Duration::from_secs(15));
        assert!(backoff.next(u64::MAX) <= Duration::from_secs(30));
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(100));
    }
}
