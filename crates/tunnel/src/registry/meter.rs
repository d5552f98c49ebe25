use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::agent::AgentLimits;
use crate::limits::{AGENT_PROOFS, RATE_BURST, REQUEST_BURST};

/// What an agent uses: counters for people to look at, and the limits that it is held to. Shared by all its sessions,
/// streams and threads; nothing here waits.
#[derive(Debug)]
pub struct Meter {
    most_streams: usize,
    streams: AtomicUsize,
    /// From visitors to the agent.
    bytes_in: AtomicU64,
    /// From the agent to visitors.
    bytes_out: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    rate_in: Option<Bucket>,
    rate_out: Option<Bucket>,
    request_rate: Option<Bucket>,
    proofs: Semaphore,
}

/// The counters of a [`Meter`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open right now.
    pub streams: usize,
    /// From visitors to the agent, since the relay's start.
    pub bytes_in: u64,
    /// From the agent to visitors, since the relay's start.
    pub bytes_out: u64,
    pub requests: u64,
    /// Streams and requests that were too many.
    pub refused: u64,
}

impl Meter {
    pub fn new(limits: &AgentLimits) -> Self {
        let epoch = Instant::now();
        let rate = |rate: Option<u64>, burst| rate.map(|rate| Bucket::new(epoch, rate, burst));
        Self {
            most_streams: limits.streams,
            streams: AtomicUsize::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            rate_in: rate(limits.rate, RATE_BURST),
            rate_out: rate(limits.rate, RATE_BURST),
            request_rate: rate(limits.requests.map(u64::from), REQUEST_BURST),
            proofs: Semaphore::new(AGENT_PROOFS),
        }
    }

    pub fn usage(&self) -> Usage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            streams: self.streams.load(Ordering::Relaxed),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            requests: get(&self.requests),
            refused: get(&self.refused),
        }
    }

    /// Takes one of the agent's streams until the pass is dropped; `None` if all are taken.
    pub fn stream(self: &Arc<Self>) -> Option<StreamPass> {
        let more = |open: usize| (open < self.most_streams).then_some(open + 1);
        if self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(StreamPass(self.clone()))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// After how long there may be another one.
    pub fn request(&self) -> Result<(), Duration> {
        if let Some(bucket) = &self.request_rate
            && let Err(wait) = bucket.take(Instant::now(), 1)
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(wait);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Turns at asking DNS about the agent's domains.
    pub(super) fn proofs(&self) -> &Semaphore {
        &self.proofs
    }

    /// Whether bytes are slowed down at all.
    pub(super) fn has_rate(&self) -> bool {
        self.rate_in.is_some()
    }

    /// Counts bytes that were moved; says when whoever moved them may move more.
    pub(super) fn moved(&self, way: Way, bytes: usize) -> Option<Instant> {
        let (counter, bucket) = match way {
            Way::In => (&self.bytes_in, &self.rate_in),
            Way::Out => (&self.bytes_out, &self.rate_out),
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        bucket.as_ref()?.charge(Instant::now(), bytes as u64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From a visitor to the agent.
    In,
    /// From the agent to a visitor.
    Out,
}

/// One of an agent's streams.
#[derive(Debug)]
pub struct StreamPass(pub(super) Arc<Meter>);

impl Drop for StreamPass {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A rate, as the moment up to which it is used up (the generic cell rate algorithm): one number, so that it needs no lock.
/// Whoever moved something waits for their own part to be paid, so that all who take turns get the same.
#[derive(Debug)]
struct Bucket {
    epoch: Instant,
    per_second: u64,
    /// Nanoseconds that may be used ahead.
    burst: u64,
    /// Nanoseconds since the epoch.
    paid: AtomicU64,
}

impl Bucket {
    fn new(epoch: Instant, per_second: u64, burst: Duration) -> Self {
        let per_second = per_second.max(1);
        // One at least, however slow the rate is.
        let burst = nanos(burst).max(1_000_000_000 / per_second);
        Self { epoch, per_second, burst, paid: AtomicU64::new(0) }
    }

    /// Uses `amount`, which has happened already. Says when more may happen; `None` is now.
    fn charge(&self, now: Instant, amount: u64) -> Option<Instant> {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let after = |paid: u64| paid.max(now).saturating_add(self.price(amount));
        let before = self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| Some(after(paid)));
        let from = after(before.unwrap_or_else(|paid| paid)).saturating_sub(self.burst);
        (from > now).then(|| self.epoch + Duration::from_nanos(from))
    }

    /// Uses `amount` if it is there.
    fn take(&self, now: Instant, amount: u64) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let most = now.saturating_add(self.burst);
        let after = |paid: u64| paid.max(now).saturating_add(self.price(amount));
        let taken = self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| {
            Some(after(paid)).filter(|after| *after <= most)
        });
        taken.map(drop).map_err(|paid| Duration::from_nanos(after(paid).saturating_sub(most)))
    }

    fn price(&self, amount: u64) -> u64 {
        u64::try_from(u128::from(amount) * 1_000_000_000 / u128::from(self.per_second)).unwrap_or(u64::MAX)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_is_paid_by_those_who_moved_it_in_turn() {
        let start = Instant::now();
        let bucket = Bucket::new(start, 1000, Duration::from_millis(250));
        assert_eq!(bucket.charge(start, 250), None);
        assert_eq!(bucket.charge(start, 100), Some(start + Duration::from_millis(100)));
        assert_eq!(bucket.charge(start, 100), Some(start + Duration::from_millis(200)));
        // Pauses are not saved up beyond the burst.
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.charge(later, 250), None);
        assert_eq!(bucket.charge(later, 1000), Some(later + Duration::from_secs(1)));
    }

    #[test]
    fn requests_are_refused_and_not_counted_beyond_the_rate() {
        let meter = Meter::new(&AgentLimits { requests: Some(1), ..AgentLimits::default() });
        let bucket = meter.request_rate.as_ref().unwrap();
        let now = bucket.epoch;
        assert_eq!((bucket.take(now, 1), bucket.take(now, 1)), (Ok(()), Ok(())));
        assert_eq!(bucket.take(now, 1), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(now + Duration::from_secs(1), 1), Ok(()));
        assert!(meter.request().is_err());
        assert_eq!(meter.usage(), Usage { refused: 1, ..Usage::default() });
    }

    #[test]
    fn streams_are_given_back() {
        let meter = Arc::new(Meter::new(&AgentLimits { streams: 2, ..AgentLimits::default() }));
        let open: Vec<_> = (0..2).map(|_| meter.stream().unwrap()).collect();
        assert!(meter.stream().is_none());
        assert_eq!(meter.usage().streams, 2);
        drop(open);
        assert!(meter.stream().is_some());
    }
}
