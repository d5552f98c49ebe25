//! From the workers to the screen: requests, transfers and findings, without ever making a worker wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use doorstep_http::{Exchange, Observer, Transfer};
use doorstep_model::Finding;

use crate::limits;

/// Takes notes for one reader. Each worker writes to a shard of its own, so that the lock is only ever
/// contended by the reader, which holds it for a pointer swap.
pub struct Events {
    shards: Box<[Shard]>,
    /// Whether something is waiting and the reader has been woken for it.
    armed: AtomicBool,
    reader: OnceLock<Thread>,
    transfers: Mutex<Vec<Arc<Transfer>>>,
    findings: Mutex<Vec<Finding>>,
}

/// A cache line or two of its own, so that workers do not slow each other down by counting.
#[repr(align(128))]
#[derive(Default)]
struct Shard {
    waiting: Mutex<Vec<Exchange>>,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    unseen: AtomicU64,
}

/// What the reader takes in one go.
#[derive(Default)]
pub struct Batch {
    pub requests: Vec<Exchange>,
    pub transfers: Vec<Arc<Transfer>>,
    pub findings: Vec<Finding>,
    /// Requests since the last batch that found no room to wait.
    pub unseen: u64,
}

/// Sums since the start, the unseen ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    pub sent: u64,
    pub received: u64,
}

impl Events {
    pub fn new(workers: usize) -> Self {
        Self {
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
            armed: AtomicBool::new(false),
            reader: OnceLock::new(),
            transfers: Mutex::default(),
            findings: Mutex::default(),
        }
    }

    /// Names the thread to be unparked when there is something to take. Only the first call counts.
    pub fn wake(&self, reader: Thread) {
        let _ = self.reader.set(reader);
    }

    /// Everything since the last call.
    pub fn take(&self) -> Batch {
        self.armed.store(false, Ordering::Release);
        let mut batch = Batch {
            transfers: std::mem::take(&mut *lock(&self.transfers)),
            findings: std::mem::take(&mut *lock(&self.findings)),
            ..Batch::default()
        };
        for shard in &self.shards {
            let waiting = std::mem::take(&mut *lock(&shard.waiting));
            batch.requests.extend(waiting);
            batch.unseen += shard.unseen.swap(0, Ordering::Relaxed);
        }
        batch.requests.sort_by_key(|exchange| exchange.began + exchange.took);
        batch
    }

    pub fn totals(&self) -> Totals {
        self.shards.iter().fold(Totals::default(), |sum, shard| Totals {
            requests: sum.requests + shard.requests.load(Ordering::Relaxed),
            sent: sum.sent + shard.sent.load(Ordering::Relaxed),
            received: sum.received + shard.received.load(Ordering::Relaxed),
        })
    }

    fn shard(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));
        &self.shards[MINE.get() % self.shards.len()]
    }

    fn announce(&self) {
        if !self.armed.swap(true, Ordering::AcqRel)
            && let Some(reader) = self.reader.get()
        {
            reader.unpark();
        }
    }
}

impl Observer for Events {
    fn finished(&self, exchange: Exchange) {
        let shard = self.shard();
        shard.requests.fetch_add(1, Ordering::Relaxed);
        shard.sent.fetch_add(exchange.sent, Ordering::Relaxed);
        shard.received.fetch_add(exchange.received, Ordering::Relaxed);
        let mut waiting = lock(&shard.waiting);
        if waiting.len() < limits::WAITING_REQUESTS {
            waiting.push(exchange);
        } else {
            shard.unseen.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.announce();
    }

    fn transfer(&self, transfer: Arc<Transfer>) {
        let mut transfers = lock(&self.transfers);
        if transfers.len() < limits::FOLLOWED_TRANSFERS {
            transfers.push(transfer);
            drop(transfers);
            self.announce();
        }
    }

    fn found(&self, finding: Finding) {
        let mut findings = lock(&self.findings);
        if findings.len() < limits::KNOWN_FINDINGS && !findings.contains(&finding) {
            findings.push(finding);
            drop(findings);
            self.announce();
        }
    }
}

/// A worker that panicked with the lock held left a list behind that is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::samples;

    #[test]
    fn counts_everything_and_keeps_what_fits() {
        let events = Events::new(1);
        for _ in 0..limits::WAITING_REQUESTS + 7 {
            events.finished(samples::exchange("/a", 200));
        }
        let batch = events.take();
        assert_eq!((batch.requests.len(), batch.unseen), (limits::WAITING_REQUESTS, 7));
        assert_eq!(events.totals().requests, limits::WAITING_REQUESTS as u64 + 7);
        let again = events.take();
        assert_eq!((again.requests.len(), again.unseen), (0, 0));
    }

    #[test]
    fn merges_shards_in_the_order_of_completion() {
        let events = Arc::new(Events::new(4));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let events = Arc::clone(&events);
                std::thread::spawn(move || (0..100).for_each(|_| events.finished(samples::exchange("/a", 200))))
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let batch = events.take();
        assert_eq!(batch.requests.len(), 400);
        assert!(batch.requests.is_sorted_by_key(|exchange| exchange.began + exchange.took));
    }

    #[test]
    fn a_finding_repeated_by_a_flood_is_kept_once() {
        let events = Events::new(1);
        for _ in 0..10_000 {
            events.found(samples::finding());
        }
        assert_eq!(events.take().findings.len(), 1);
    }
}
