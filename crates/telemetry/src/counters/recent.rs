use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What happened within the last minute: requests for each second, and how long they took for each ten.
///
/// The histogram is our own because one of a crate takes 15 to 100 kB with a lock around it; this one takes 7 kB for a
/// site that gets requests, is off by at most an eighth, and needs no lock. At the turn of a slot a request that is
/// counted by another thread in the same instant may be missed.
pub(crate) struct Recent {
    /// The second in the upper half, its requests in the lower.
    seconds: [AtomicU64; SECONDS],
    slots: [Slot; SLOTS],
}

struct Slot {
    /// Which ten seconds since the start; [`TURNING`] while it is being emptied.
    number: AtomicU64,
    errors: AtomicU32,
    buckets: [AtomicU32; BUCKETS],
}

const SECONDS: usize = 64;
const SLOT: u64 = 10;
/// Six for the last minute, and the one that is being filled.
const SLOTS: usize = 7;
/// Eight for each doubling, from a microsecond to two minutes; longer ones are in the last.
const BUCKETS: usize = 200;
const TURNING: u64 = u64::MAX;

/// The last minute in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LastMinute {
    /// Requests per second, over the last 10 s and the last 60 s.
    pub rates: [f64; 2],
    pub errors: u64,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

impl Recent {
    pub(crate) fn new() -> Self {
        let slot = |number: usize| Slot {
            number: AtomicU64::new(number as u64),
            errors: AtomicU32::new(0),
            buckets: std::array::from_fn(|_| AtomicU32::new(0)),
        };
        Self { seconds: std::array::from_fn(|_| AtomicU64::new(0)), slots: std::array::from_fn(slot) }
    }

    /// Counts a request that ended `now`, measured from the start.
    pub(crate) fn add(&self, now: Duration, took: Duration, error: bool) {
        let second = now.as_secs() & u64::from(u32::MAX);
        if let Some(cell) = self.seconds.get(second as usize % SECONDS) {
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
                Some(if seen >> 32 == second { seen.saturating_add(1) } else { second << 32 | 1 })
            });
        }
        let number = now.as_secs() / SLOT;
        let Some(slot) = self.slots.get(number as usize % SLOTS).filter(|slot| slot.turn_to(number)) else { return };
        if let Some(bucket) = slot.buckets.get(bucket_of(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if error {
            slot.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_minute(&self, now: Duration) -> LastMinute {
        let mut merged = [0u64; BUCKETS];
        let number = now.as_secs() / SLOT;
        let mut errors = 0;
        for slot in &self.slots {
            let of = slot.number.load(Ordering::Acquire);
            if of > number || number - of >= SLOTS as u64 {
                continue;
            }
            errors += u64::from(slot.errors.load(Ordering::Relaxed));
            for (sum, bucket) in merged.iter_mut().zip(&slot.buckets) {
                *sum += u64::from(bucket.load(Ordering::Relaxed));
            }
        }
        LastMinute {
            rates: [self.rate(now, 10), self.rate(now, 60)],
            errors,
            p50: quantile(&merged, 50),
            p99: quantile(&merged, 99),
        }
    }

    /// Requests per second in the last `span` whole seconds, fewer just after the start.
    fn rate(&self, now: Duration, span: u64) -> f64 {
        let now = now.as_secs() & u64::from(u32::MAX);
        let from = now.saturating_sub(span);
        let seen = self.seconds.iter().map(|cell| cell.load(Ordering::Relaxed));
        let within = seen.filter(|seen| (from..now).contains(&(seen >> 32))).map(|seen| seen & u64::from(u32::MAX));
        within.sum::<u64>() as f64 / (now - from).max(1) as f64
    }
}

impl Slot {
    /// Empties it if it is of a time that is over. Whether it may be counted in.
    fn turn_to(&self, number: u64) -> bool {
        let seen = self.number.load(Ordering::Acquire);
        if seen == number {
            return true;
        }
        if seen == TURNING || seen > number {
            return false;
        }
        if self.number.compare_exchange(seen, TURNING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.errors.store(0, Ordering::Relaxed);
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
        self.number.store(number, Ordering::Release);
        true
    }
}

fn bucket_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(doubling) = micros.checked_ilog2().and_then(|log| log.checked_sub(3)) else { return micros as usize };
    let bucket = (doubling as usize + 1) * 8 + (micros >> doubling) as usize % 8;
    bucket.min(BUCKETS - 1)
}

/// The longest time that falls into a bucket.
fn upper_bound(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    match (bucket / 8).checked_sub(1) {
        None => Duration::from_micros(bucket),
        Some(doubling) => Duration::from_micros(((bucket % 8 + 9) << doubling) - 1),
    }
}

/// The time within which `percent` of the requests were over.
fn quantile(buckets: &[u64], percent: u64) -> Option<Duration> {
    let all: u64 = buckets.iter().sum();
    let rank = (all * percent).div_ceil(100);
    let mut seen = 0;
    let at = buckets.iter().position(|bucket| {
        seen += bucket;
        seen >= rank
    });
    at.filter(|_| all > 0).map(upper_bound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    proptest! {
        #[test]
        fn buckets_are_an_eighth_wide(micros in 0u64..100_000_000) {
            let took = Duration::from_micros(micros);
            let bound = upper_bound(bucket_of(took));
            prop_assert!(bound >= took && bound <= took + took / 8, "{took:?} in {bound:?}");
            prop_assert!(bucket_of(took) <= bucket_of(took + Duration::from_micros(1)));
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_list(times in prop::collection::vec(1u64..10_000_000, 1..300)) {
            let recent = Recent::new();
            times.iter().for_each(|micros| recent.add(second(70), Duration::from_micros(*micros), false));
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let minute = recent.last_minute(second(71));
            for (percent, seen) in [(50, minute.p50), (99, minute.p99)] {
                let exact = Duration::from_micros(sorted[(sorted.len() * percent).div_ceil(100) - 1]);
                let seen = seen.unwrap();
                prop_assert!(seen >= exact && seen <= exact + exact / 8, "p{percent} {exact:?} as {seen:?}");
            }
        }
    }

    #[test]
    fn rates_are_of_whole_seconds() {
        let recent = Recent::new();
        for at in 0..100 {
            (0..=at).for_each(|_| recent.add(second(at), MS, false));
        }
        let rates = recent.last_minute(second(100)).rates;
        assert_eq!(rates, [(91..=100).sum::<u64>() as f64 / 10.0, (41..=100).sum::<u64>() as f64 / 60.0]);
        let rates = recent.last_minute(second(1000)).rates;
        assert_eq!(rates, [0.0, 0.0]);
    }

    #[test]
    fn just_after_the_start_the_rate_is_of_what_there_was() {
        let recent = Recent::new();
        (0..10).for_each(|_| recent.add(second(0), MS, false));
        (0..20).for_each(|_| recent.add(second(1), MS, false));
        assert_eq!(recent.last_minute(second(2)).rates, [15.0, 15.0]);
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let recent = Recent::new();
        recent.add(second(5), second(50), true);
        recent.add(second(30), 10 * MS, false);
        let minute = recent.last_minute(second(65));
        assert_eq!(minute.errors, 1);
        assert!(minute.p99.unwrap() > second(49) && minute.p50.unwrap() < 12 * MS);
        let minute = recent.last_minute(second(75));
        assert_eq!((minute.errors, minute.p99), (0, minute.p50));
        // The slot's next turn empties it.
        recent.add(second(75), MS, false);
        assert_eq!(recent.last_minute(second(75)).errors, 0);
        assert_eq!(Recent::new().last_minute(second(75)).p99, None);
    }
}
