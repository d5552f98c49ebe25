use std::time::Duration;

/// Exponential back-off with full jitter above a floor: each wait is at random between half and the whole of a bound that
/// doubles from `first` to `most`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// How long to wait after one more failure. `random` is any number, evenly spread.
    pub fn next(&mut self, random: u64) -> Duration {
        let bound = self.first.saturating_mul(1 << self.failures.min(30)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let part = 0.5 + (random >> 11) as f64 / (1u64 << 53) as f64 / 2.0;
        bound.mul_f64(part)
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_bound_and_never_waits_less_than_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let most: Vec<u128> = (0..6).map(|_| backoff.next(u64::MAX).as_millis().div_ceil(10) * 10).collect();
        assert_eq!(most, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.next(0)), (0, Duration::from_millis(50)));
    }
}
