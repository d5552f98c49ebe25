use std::collections::BTreeMap;
use std::time::Instant;

use super::limits::{DEMAND_MEMORY, MAX_DATA_CONNS, MAX_STREAMS, SHARED_CONNS, SPARE_CONNS};

/// How many exclusive data connections a session should have: those at work at the last peak, and some to spare.
#[derive(Debug)]
pub struct Demand {
    most: u16,
    peak: u16,
    since: Instant,
    lately: u16,
    /// Nobody came for so long that no exclusive connection waits for the next one.
    resting: bool,
}

impl Demand {
    /// `bound` counts exclusive and shared connections together.
    pub fn new(now: Instant, bound: u16) -> Self {
        let most = bound.clamp(SHARED_CONNS + 1, MAX_DATA_CONNS) - SHARED_CONNS;
        Self { most, peak: 0, since: now, lately: 0, resting: false }
    }

    /// `busy` exclusive connections are at work. Says how many exclusive and shared ones there should be: one of each for a
    /// new tunnel, and the shared one alone once it rests, for a relay may have thousands.
    pub fn update(&mut self, now: Instant, busy: u16) -> (u16, u16) {
        self.lately = self.lately.max(busy);
        self.peak = self.peak.max(busy);
        if now.saturating_duration_since(self.since) >= DEMAND_MEMORY {
            self.peak = self.lately;
            self.lately = busy;
            self.since = now;
            self.resting = true;
        }
        self.resting &= self.peak == 0;
        let spare = match self.peak {
            0 => u16::from(!self.resting),
            peak => SPARE_CONNS.max(peak / 4),
        };
        let exclusive = self.peak.saturating_add(spare).min(self.most);
        (exclusive, if exclusive < self.most { 1 } else { SHARED_CONNS })
    }
}

/// Which data connection of a session a new stream takes: the exclusive one that was free last (its path is known to be
/// good), else the shared one with the fewest streams. `K` names a connection.
#[derive(Debug)]
pub struct Pool<K> {
    idle: Vec<K>,
    shared: BTreeMap<K, usize>,
}

impl<K: Ord + Clone> Default for Pool<K> {
    fn default() -> Self {
        Self { idle: Vec::new(), shared: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Pool<K> {
    pub fn add_shared(&mut self, conn: K) {
        self.shared.insert(conn, 0);
    }

    /// An exclusive connection is free: new, or its stream is over.
    pub fn free(&mut self, conn: K) {
        if !self.idle.contains(&conn) {
            self.idle.push(conn);
        }
    }

    /// A stream of a shared connection is over.
    pub fn less(&mut self, conn: &K) {
        if let Some(streams) = self.shared.get_mut(conn) {
            *streams = streams.saturating_sub(1);
        }
    }

    pub fn remove(&mut self, conn: &K) {
        self.idle.retain(|other| other != conn);
        self.shared.remove(conn);
    }

    pub fn take(&mut self) -> Option<K> {
        self.idle.pop().or_else(|| self.take_shared())
    }

    /// For flows of datagrams, which go over shared connections only.
    pub fn take_shared(&mut self) -> Option<K> {
        let (conn, streams) = self.shared.iter_mut().min_by_key(|(_, streams)| **streams)?;
        if *streams >= MAX_STREAMS {
            return None;
        }
        *streams += 1;
        Some(conn.clone())
    }

    /// The exclusive connection that was idle longest, to be closed when there are more than [`Demand`] wants.
    pub fn shrink(&mut self) -> Option<K> {
        (!self.idle.is_empty()).then(|| self.idle.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_at_once_shrinks_later_and_stays_within_the_bound() {
        let start = Instant::now();
        let mut demand = Demand::new(start, 32);
        assert_eq!(demand.update(start, 0), (1, 1));
        assert_eq!(demand.update(start, 16), (20, 1));
        assert_eq!(demand.update(start, 500), (28, 4));
        assert_eq!(demand.update(start + DEMAND_MEMORY / 2, 0), (28, 4));
        demand.update(start + DEMAND_MEMORY, 1);
        assert_eq!(demand.update(start + 2 * DEMAND_MEMORY, 1), (3, 1));
        demand.update(start + 3 * DEMAND_MEMORY, 0);
        assert_eq!(demand.update(start + 4 * DEMAND_MEMORY, 0), (0, 1));
        assert_eq!(demand.update(start + 4 * DEMAND_MEMORY, 1), (3, 1));
    }

    #[test]
    fn exclusive_first_then_the_least_busy_shared_one() {
        let mut pool = Pool::default();
        assert_eq!(pool.take(), None);
        pool.add_shared(1);
        pool.add_shared(2);
        pool.free(3);
        pool.free(4);
        assert_eq!([pool.take(), pool.take(), pool.take(), pool.take()], [Some(4), Some(3), Some(1), Some(2)]);
        pool.less(&2);
        assert_eq!(pool.take(), Some(2));
        pool.remove(&2);
        assert_eq!(pool.take_shared(), Some(1));
        assert_eq!(pool.shrink(), None);
    }
}
