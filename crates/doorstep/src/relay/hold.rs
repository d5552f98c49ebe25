//! Requests that wait for an agent to come back: not many, and not long.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorstep_tunnel::registry::{Found, Registry};

use crate::limits::{RELAY_HELD, RELAY_HELD_OF_ONE};

/// Who waits.
pub struct Waiting {
    registry: Registry,
    began: Instant,
    all: AtomicUsize,
    /// By a hash of the host: one that many wait for takes the places of few others.
    some: Box<[AtomicUsize]>,
    hasher: RandomState,
}

/// A place in it, given back when dropped.
struct Place<'w> {
    all: &'w AtomicUsize,
    some: &'w AtomicUsize,
}

impl Waiting {
    pub fn new(registry: Registry) -> Self {
        let some = (0..RELAY_HELD).map(|_| AtomicUsize::new(0)).collect();
        Self { registry, began: Instant::now(), all: AtomicUsize::new(0), some, hasher: RandomState::new() }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// For how long the relay has been running.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Requests that wait.
    pub fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Waits until the agent of `host` is there, or it is known that it will not be; `None` after `most`, or at once where
    /// too many wait already.
    pub async fn returned(&self, host: &str, most: Duration) -> Option<Found> {
        if most.is_zero() {
            return None;
        }
        let _place = self.place(host)?;
        tokio::time::timeout(most, self.registry.returned(host)).await.ok()
    }

    fn place(&self, host: &str) -> Option<Place<'_>> {
        let some = self.some.get(self.hasher.hash_one(host) as usize % RELAY_HELD)?;
        take(&self.all, RELAY_HELD)?;
        if take(some, RELAY_HELD_OF_ONE).is_none() {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place { all: &self.all, some })
    }
}

fn take(counter: &AtomicUsize, most: usize) -> Option<()> {
    let more = |taken| (taken < most).then_some(taken + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| ())
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.some.fetch_sub(1, Ordering::Relaxed);
    }
}
