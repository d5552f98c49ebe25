use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{FIRST_WAIT, FORGET_AFTER, FREE_ATTEMPTS, MAX_THROTTLED, MAX_WAIT};

/// Makes guessing slow: after a few wrong passwords a client has to wait before the next is looked at, longer each time.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Failures>>);

struct Failures {
    count: u32,
    last: Instant,
    /// Attempts that are being looked at.
    running: u32,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// Not looked at; the next one will be after this time.
    Wait(Duration),
}

/// Whether an attempt that takes long may be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is counted as running; [`Throttle::end`] must be called.
    Go,
    /// If those that run turned out wrong, this one would have to wait. Ask again when one of them has ended.
    Later,
    Wait(Duration),
}

impl Throttle {
    /// Looks at one attempt of `client`. Under the lock, so that attempts sent all at once count one after another.
    pub(crate) fn attempt(&self, client: IpAddr, now: Instant, is_right: impl FnOnce() -> bool) -> Verdict {
        let mut table = self.0.lock();
        if let Some(left) = must_wait(&mut table, client, now) {
            return Verdict::Wait(left);
        }
        if is_right() {
            // Not forgotten: else one good login behind a router would give a guesser behind it a new start.
            return Verdict::Right;
        }
        entry(&mut table, client, now).fail(now);
        Verdict::Wrong
    }

    /// How long `client` has to wait before anything that it sends is looked at.
    pub(crate) fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        self.0.lock().get(&client).map(|failures| failures.wait_at(now)).filter(|left| !left.is_zero())
    }

    /// Begins an attempt of `client` that is not looked at under the lock.
    pub(crate) fn begin(&self, client: IpAddr, now: Instant) -> Admission {
        let mut table = self.0.lock();
        if let Some(left) = must_wait(&mut table, client, now) {
            return Admission::Wait(left);
        }
        let failures = entry(&mut table, client, now);
        if failures.running > 0 && failures.count.saturating_add(failures.running) >= FREE_ATTEMPTS {
            return Admission::Later;
        }
        failures.running += 1;
        Admission::Go
    }

    /// Ends what [`Throttle::begin`] began.
    pub(crate) fn end(&self, client: IpAddr, now: Instant, failed: bool) {
        let mut table = self.0.lock();
        let failures = entry(&mut table, client, now);
        failures.running = failures.running.saturating_sub(1);
        if failed {
            failures.fail(now);
        } else if failures.count == 0 && failures.running == 0 {
            table.remove(&client);
        }
    }
}

impl Failures {
    fn fail(&mut self, now: Instant) {
        let forgotten = now.duration_since(self.last) >= FORGET_AFTER;
        self.count = if forgotten { 1 } else { self.count.saturating_add(1) };
        self.last = now;
    }

    fn wait_at(&self, now: Instant) -> Duration {
        let Some(beyond) = self.count.checked_sub(FREE_ATTEMPTS) else { return Duration::ZERO };
        let wait = FIRST_WAIT.saturating_mul(1 << beyond.min(16)).min(MAX_WAIT);
        wait.saturating_sub(now.duration_since(self.last))
    }
}

type Table = HashMap<IpAddr, Failures>;

fn entry(table: &mut Table, client: IpAddr, now: Instant) -> &mut Failures {
    table.entry(client).or_insert(Failures { count: 0, last: now, running: 0 })
}

fn must_wait(table: &mut Table, client: IpAddr, now: Instant) -> Option<Duration> {
    match table.get(&client) {
        Some(failures) => Some(failures.wait_at(now)).filter(|left| !left.is_zero()),
        None => (table.len() >= MAX_THROTTLED && !make_room(table, now)).then_some(FIRST_WAIT),
    }
}

/// Forgets clients that need not wait any more, the least guilty first. Whether one could be forgotten.
fn make_room(table: &mut Table, now: Instant) -> bool {
    table.retain(|_, failures| failures.running > 0 || now.duration_since(failures.last) < FORGET_AFTER);
    if table.len() < MAX_THROTTLED {
        return true;
    }
    let idle = table.iter().filter(|(_, failures)| failures.running == 0 && failures.wait_at(now).is_zero());
    let Some(client) = idle.min_by_key(|(_, failures)| (failures.count, failures.last)).map(|(client, _)| *client)
    else {
        return false;
    };
    table.remove(&client).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn waits_grow_and_are_each_clients_own() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(throttle.attempt(ANN, now, || false), Verdict::Wrong);
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let expected = Duration::from_secs(expected);
            assert_eq!(throttle.attempt(ANN, now, || true), Verdict::Wait(expected));
            now += expected;
            assert_eq!(throttle.attempt(ANN, now, || false), Verdict::Wrong);
        }
        assert_eq!(throttle.attempt(BOB, now, || true), Verdict::Right);
    }

    #[test]
    fn guesses_of_a_day_are_few() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let looked_at = (0..86_400 * 4u32)
            .filter(|tick| {
                throttle.attempt(ANN, start + Duration::from_millis(250) * *tick, || false) == Verdict::Wrong
            })
            .count();
        assert!(looked_at < 1500, "{looked_at}");
    }

    #[test]
    fn a_quiet_hour_is_a_new_start() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_ATTEMPTS {
            throttle.attempt(ANN, now, || false);
        }
        let later = now + FORGET_AFTER;
        assert_eq!(throttle.attempt(ANN, later, || false), Verdict::Wrong);
        assert_eq!(throttle.attempt(ANN, later, || true), Verdict::Right);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_guilty() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..=FREE_ATTEMPTS + 3 {
            throttle.attempt(ANN, now, || false);
        }
        let crowd = (0..MAX_THROTTLED as u32 + 500).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        for client in crowd {
            assert_eq!(throttle.attempt(client, now, || false), Verdict::Wrong);
        }
        assert_eq!(throttle.0.lock().len(), MAX_THROTTLED);
        assert!(matches!(throttle.attempt(ANN, now, || true), Verdict::Wait(_)));
    }

    #[test]
    fn slow_attempts_count_before_they_are_known() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(throttle.begin(ANN, now), Admission::Go);
        }
        assert_eq!(throttle.begin(ANN, now), Admission::Later);
        throttle.end(ANN, now, false);
        assert_eq!(throttle.begin(ANN, now), Admission::Go);
        (0..FREE_ATTEMPTS).for_each(|_| throttle.end(ANN, now, true));
        assert_eq!(throttle.begin(ANN, now), Admission::Wait(FIRST_WAIT));
        assert_eq!(throttle.wait(ANN, now), Some(FIRST_WAIT));
        let later = now + FIRST_WAIT;
        assert_eq!(throttle.wait(ANN, later), None);
        assert_eq!(throttle.begin(ANN, later), Admission::Go);
        assert_eq!(throttle.begin(ANN, later), Admission::Later);
    }

    #[test]
    fn who_never_failed_leaves_no_trace() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.begin(ANN, now);
        throttle.end(ANN, now, false);
        assert!(throttle.0.lock().is_empty());
    }
}
