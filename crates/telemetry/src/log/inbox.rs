use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use doorstep_http::Exchange;
use parking_lot::Mutex;

use crate::counters::stripe_of_thread;
use crate::limits::{MAX_WAITING, STRIPES};

/// Requests on their way to the writer. Each thread of the data plane mostly has a queue of its own, whose lock is
/// contended only by the writer, and by that for the time of a pointer swap.
#[derive(Default)]
pub(super) struct Inbox {
    queues: [Queue; STRIPES],
    /// Something waits, and the writer knows.
    armed: AtomicBool,
    overflown: AtomicU64,
}

#[repr(align(128))]
#[derive(Default)]
struct Queue(Mutex<Vec<Exchange>>);

impl Inbox {
    /// Whether the writer must be woken.
    pub(super) fn push(&self, exchange: Exchange) -> bool {
        let Some(queue) = self.queues.get(stripe_of_thread()) else { return false };
        let mut waiting = queue.0.lock();
        if waiting.len() < MAX_WAITING {
            waiting.push(exchange);
        } else {
            self.overflown.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        !self.armed.load(Ordering::Relaxed) && !self.armed.swap(true, Ordering::AcqRel)
    }

    /// Everything that waits, in the order in which the requests ended, and how many found no room since the last call.
    pub(super) fn take(&self) -> (Vec<Exchange>, u64) {
        self.armed.store(false, Ordering::SeqCst);
        let mut batch = Vec::new();
        for queue in &self.queues {
            let waiting = std::mem::take(&mut *queue.0.lock());
            batch.extend(waiting);
        }
        batch.sort_by_key(|exchange| exchange.began + exchange.took);
        (batch, self.overflown.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples::exchange;

    #[test]
    fn batches_are_in_order_and_wake_once() {
        let inbox = Inbox::default();
        let mut late = exchange("/late", 200);
        late.took += Duration::from_secs(1);
        assert!(inbox.push(late));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!inbox.push(exchange("/early", 200))));
        });
        let (batch, lost) = inbox.take();
        assert_eq!(batch.iter().map(|exchange| &*exchange.target).collect::<Vec<_>>(), ["/early", "/late"]);
        assert_eq!(lost, 0);
        assert!(inbox.push(exchange("/", 200)));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let inbox = Inbox::default();
        for _ in 0..MAX_WAITING + 3 {
            inbox.push(exchange("/", 200));
        }
        let (batch, lost) = inbox.take();
        assert_eq!((batch.len(), lost), (MAX_WAITING, 3));
        assert_eq!(inbox.take().1, 0);
    }
}
