use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use doorstep_http::Exchange;
use http::Method;

use crate::limits::STRIPES;

/// What is counted since the start. Each thread counts in a stripe of its own, made when it is first needed.
#[derive(Default)]
pub(crate) struct Totals([OnceLock<Box<Stripe>>; STRIPES]);

/// Labels of methods; further ones are the last.
pub(crate) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
/// Labels of statuses.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Upper bounds of the histogram in microseconds; one more bucket has what took longer.
pub(crate) const BOUNDS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

#[repr(align(128))]
#[derive(Default)]
struct Stripe {
    requests: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    sent: AtomicU64,
    received: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// The stripes' sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub requests: [[u64; CLASSES.len()]; METHODS.len()],
    pub sent: u64,
    pub received: u64,
    /// Not cumulative.
    pub buckets: [u64; BUCKETS],
    pub micros: u64,
}

impl Totals {
    pub(crate) fn add(&self, exchange: &Exchange) {
        let Some(stripe) = self.0.get(stripe_of_thread()) else { return };
        let stripe = stripe.get_or_init(Box::default);
        let add = |cell: Option<&AtomicU64>, by| cell.map(|cell| cell.fetch_add(by, Ordering::Relaxed));
        let (method, class) = (method(&exchange.method), usize::from(exchange.status.as_u16() / 100).saturating_sub(1));
        add(stripe.requests.get(method).and_then(|classes| classes.get(class)), 1);
        add(Some(&stripe.sent), exchange.sent);
        add(Some(&stripe.received), exchange.received);
        let micros = u64::try_from(exchange.took.as_micros()).unwrap_or(u64::MAX);
        add(stripe.buckets.get(BOUNDS.partition_point(|bound| *bound < micros)), 1);
        add(Some(&stripe.micros), micros);
    }

    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        for stripe in self.0.iter().filter_map(OnceLock::get) {
            let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
            for (to, from) in sum.requests.iter_mut().flatten().zip(stripe.requests.iter().flatten()) {
                *to += read(from);
            }
            for (to, from) in sum.buckets.iter_mut().zip(&stripe.buckets) {
                *to += read(from);
            }
            sum.sent += read(&stripe.sent);
            sum.received += read(&stripe.received);
            sum.micros = sum.micros.wrapping_add(read(&stripe.micros));
        }
        sum
    }
}

impl Sum {
    pub(crate) fn total(&self) -> u64 {
        self.requests.iter().flatten().sum()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.requests.iter().filter_map(|classes| classes.last()).sum()
    }
}

/// Which of [`STRIPES`] stripes the calling thread uses.
pub(crate) fn stripe_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES));
    MINE.get()
}

fn method(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::samples::exchange;

    #[test]
    fn threads_add_up() {
        let totals = Totals::default();
        std::thread::scope(|scope| {
            for status in [200, 204, 302, 404, 502, 503, 999] {
                let totals = &totals;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        totals.add(&exchange("/", status));
                    }
                });
            }
        });
        let sum = totals.sum();
        assert_eq!(sum.requests[0], [0, 2000, 1000, 1000, 2000]);
        assert_eq!((sum.total(), sum.errors(), sum.sent), (6000, 2000, 7 * 4_123_000));
        assert_eq!(sum.micros, 7 * 12_000_000);
    }

    #[test]
    fn bounds_are_inclusive() {
        let totals = Totals::default();
        for micros in [0, 1_000, 1_001, 10_000_000, 10_000_001, u64::MAX] {
            let mut exchange = exchange("/", 200);
            exchange.took = Duration::from_micros(micros);
            totals.add(&exchange);
        }
        let sum = totals.sum();
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[12], sum.buckets[13]), (2, 1, 1, 2));
    }

    #[test]
    fn methods_are_bounded() {
        for (name, expected) in [("GET", "GET"), ("OPTIONS", "OPTIONS"), ("get", "other"), ("PROPFIND", "other")] {
            assert_eq!(METHODS[method(&Method::from_bytes(name.as_bytes()).unwrap())], expected);
        }
    }
}
