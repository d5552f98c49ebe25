use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::limits::{ANNOUNCED, ANNOUNCED_FOR};

/// How long a connection waits for the line that tells who it is.
const UNNAMED: Duration = Duration::from_millis(300);

/// Who a visitor is whose address nobody told.
pub(super) const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Brings together what `ssh` says of a target's visitors and the connections that it then makes, in the same order.
///
/// Where one of a pair stays away, both queues are emptied: a visitor without an address is better than one with
/// somebody else's.
pub(super) struct Pairing<C> {
    announced: VecDeque<(SocketAddr, Instant)>,
    waiting: VecDeque<(C, Instant)>,
    /// Lines that are still to come for connections that were let in without.
    owed: usize,
    owed_since: Option<Instant>,
}

impl<C> Pairing<C> {
    pub fn new() -> Self {
        Self { announced: VecDeque::new(), waiting: VecDeque::new(), owed: 0, owed_since: None }
    }

    pub fn announce(&mut self, visitor: SocketAddr, now: Instant) {
        if self.owed > 0 && self.owed_since.is_some_and(|since| now.duration_since(since) < ANNOUNCED_FOR) {
            self.owed -= 1;
            return;
        }
        self.owed = 0;
        if self.announced.len() < ANNOUNCED {
            self.announced.push_back((visitor, now));
        }
    }

    pub fn arrive(&mut self, conn: C, now: Instant) {
        self.waiting.push_back((conn, now));
    }

    /// The next visitor that can be let in.
    pub fn next(&mut self, now: Instant) -> Option<(C, SocketAddr)> {
        if self.announced.front().is_some_and(|(_, since)| now.duration_since(*since) >= ANNOUNCED_FOR) {
            self.announced.clear();
        }
        let (_, since) = self.waiting.front()?;
        let late = now.duration_since(*since) >= UNNAMED;
        if self.announced.is_empty() && !late {
            return None;
        }
        let (conn, _) = self.waiting.pop_front()?;
        match self.announced.pop_front() {
            Some((visitor, _)) => Some((conn, visitor)),
            None => {
                (self.owed, self.owed_since) = (self.owed + 1, Some(now));
                Some((conn, NOBODY))
            }
        }
    }

    /// When to ask again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, since)| *since + UNNAMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn pairs_come_in_order_whichever_comes_first() {
        let now = Instant::now();
        let mut pairing = Pairing::new();
        pairing.announce(peer(1), now);
        pairing.announce(peer(2), now);
        pairing.arrive('a', now);
        assert_eq!(pairing.next(now), Some(('a', peer(1))));
        pairing.arrive('b', now);
        pairing.arrive('c', now);
        assert_eq!(pairing.next(now), Some(('b', peer(2))));
        assert_eq!(pairing.next(now), None);
        pairing.announce(peer(3), now);
        assert_eq!(pairing.next(now), Some(('c', peer(3))));
    }

    #[test]
    fn nobody_gets_somebody_elses_address() {
        let start = Instant::now();
        let mut pairing = Pairing::new();
        pairing.announce(peer(1), start);
        // Its connection never came.
        let later = start + ANNOUNCED_FOR;
        pairing.arrive('b', later);
        assert_eq!(pairing.next(later), None);
        pairing.announce(peer(2), later);
        assert_eq!(pairing.next(later), Some(('b', peer(2))));
        // A connection whose line comes late.
        pairing.arrive('c', later);
        let late = later + UNNAMED;
        assert_eq!(pairing.next(late), Some(('c', NOBODY)));
        pairing.announce(peer(3), late);
        pairing.arrive('d', late);
        assert_eq!(pairing.next(late), None);
        pairing.announce(peer(4), late);
        assert_eq!(pairing.next(late), Some(('d', peer(4))));
    }
}
