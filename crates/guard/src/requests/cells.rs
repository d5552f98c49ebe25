use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use doorstep_model::RequestRate;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{MAX_RATED_CLIENTS, RATE_SHARDS, SHARED_CELLS};

/// The generic cell rate algorithm (ITU-T I.371, as a virtual schedule), one cell per client.
///
/// A cell is a point in time, up to which its client's requests are paid for. Each request moves it on by the time that
/// one takes at the rate; a request is refused while its cell is more than the burst ahead. A cell in the past is as
/// good as none, so those are what is forgotten when the table is full. Clients who find no place share a few cells,
/// chosen by their address, and take along what is owed there when they get one of their own: filling the table from many
/// addresses makes the limit stricter for newcomers, and never gives anybody a new start.
pub(super) struct Cells {
    origin: Instant,
    /// Nanoseconds that one request takes at the rate.
    spacing: u64,
    /// Nanoseconds that a cell may be ahead.
    tolerance: u64,
    hasher: RandomState,
    shards: [Mutex<Shard>; RATE_SHARDS],
}

struct Shard {
    cells: HashMap<IpAddr, u64>,
    shared: [u64; SHARED_CELLS],
    /// No cell is in the past before this time, so looking for one is no use.
    crowded_until: u64,
}

/// Cells in one shard.
const SHARD_SIZE: usize = MAX_RATED_CLIENTS / RATE_SHARDS;

impl Cells {
    pub(super) fn new(rate: RequestRate) -> Self {
        let spacing = rate.per.as_nanos().div_ceil(u128::from(rate.requests.max(1)));
        let spacing = u64::try_from(spacing).unwrap_or(u64::MAX).max(1);
        Self {
            origin: Instant::now(),
            spacing,
            tolerance: spacing.saturating_mul(u64::from(rate.burst.saturating_sub(1))),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
        }
    }

    /// Counts a request, or says after what time the next one would be let through.
    pub(super) fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX);
        let hash = self.hasher.hash_one(client);
        let (Some(shard), place) = (self.shards.get(hash as usize % RATE_SHARDS), (hash >> 32) as usize % SHARED_CELLS)
        else {
            return Ok(());
        };
        let cell = &mut *shard.lock();
        let cell = cell.of(client, place, now);
        let wait = cell.saturating_sub(self.tolerance).saturating_sub(now);
        if wait > 0 {
            return Err(Duration::from_nanos(wait));
        }
        *cell = (*cell).max(now).saturating_add(self.spacing);
        Ok(())
    }
}

impl Shard {
    fn new() -> Self {
        Self { cells: HashMap::new(), shared: [0; SHARED_CELLS], crowded_until: 0 }
    }

    fn of(&mut self, client: IpAddr, place: usize, now: u64) -> &mut u64 {
        let owed = &mut self.shared[place];
        if self.cells.len() >= SHARD_SIZE && !self.cells.contains_key(&client) {
            if now >= self.crowded_until {
                self.cells.retain(|_, cell| *cell > now);
                self.crowded_until = self.cells.values().min().copied().unwrap_or(now);
            }
            if self.cells.len() >= SHARD_SIZE {
                return owed;
            }
        }
        self.cells.entry(client).or_insert(*owed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn client(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn rate(requests: u32, per: Duration, burst: u32) -> RequestRate {
        RequestRate { requests, per, burst }
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_burst_and_rate(
            requests in 1u32..200, millis in 1u64..100_000, burst in 1u32..40,
            gaps in prop::collection::vec(0u64..3_000_000_000, 1..300),
        ) {
            let per = Duration::from_millis(millis);
            let cells = Cells::new(rate(requests, per, burst));
            let (mut now, mut admitted) = (Instant::now(), Vec::new());
            for gap in gaps {
                // Gaps of the same order as the spacing, most of them too short.
                now += Duration::from_nanos(gap) * millis as u32 / requests / 2000;
                if cells.admit(client(1), now).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let spent = to.duration_since(*from).as_nanos() * u128::from(requests) / per.as_nanos();
                    prop_assert!((last - first) as u128 <= u128::from(burst - 1) + spent + 1);
                }
            }
        }

        #[test]
        fn waiting_as_told_is_enough(requests in 1u32..1000, burst in 1u32..40) {
            let cells = Cells::new(rate(requests, SECOND, burst));
            let mut now = Instant::now();
            let mut refusals = 0;
            for _ in 0..200 {
                if let Err(wait) = cells.admit(client(1), now) {
                    refusals += 1;
                    now += wait;
                    prop_assert!(cells.admit(client(1), now).is_ok());
                }
            }
            prop_assert!(refusals >= 150, "{refusals}");
        }
    }

    #[test]
    fn who_keeps_to_the_rate_is_never_refused() {
        let cells = Cells::new(rate(3, SECOND, 1));
        let start = Instant::now();
        for n in 0..3000u32 {
            // Rounded up, as a client's clock would.
            let at = start + Duration::from_nanos((u64::from(n) * 1_000_000_000).div_ceil(3) + u64::from(n));
            assert_eq!(cells.admit(client(1), at), Ok(()), "{n}");
        }
    }

    #[test]
    fn clients_do_not_feel_each_other() {
        let cells = Cells::new(rate(1, SECOND, 1));
        let now = Instant::now();
        for n in 0..1000 {
            assert!(cells.admit(client(n), now).is_ok() && cells.admit(client(n), now).is_err(), "{n}");
        }
    }

    #[test]
    fn a_full_table_gives_nobody_a_new_start() {
        let cells = Cells::new(rate(1, Duration::from_secs(1000), 1));
        let now = Instant::now();
        assert!(cells.admit(client(1), now).is_ok());
        let crowd = 4 * MAX_RATED_CLIENTS as u32;
        (2..crowd).for_each(|n| {
            let _ = cells.admit(client(n), now);
        });
        let size = |cells: &Cells| cells.shards.iter().map(|shard| shard.lock().cells.len()).sum::<usize>();
        assert_eq!(size(&cells), SHARD_SIZE * RATE_SHARDS);
        // Nobody is admitted twice: neither who has a cell, nor who shares one.
        let again = (1..crowd).filter(|n| cells.admit(client(*n), now).is_ok()).count();
        assert_eq!(again, 0);
        // When cells are free again, what was owed goes along.
        let soon = now + Duration::from_secs(999);
        assert!((1..crowd).all(|n| cells.admit(client(n), soon).is_err()));
        let later = now + Duration::from_secs(2001);
        assert!(cells.admit(client(crowd + 1), later).is_ok());
        assert!(size(&cells) < SHARD_SIZE * RATE_SHARDS);
    }
}
