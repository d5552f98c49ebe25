use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use doorstep_model::ByteRate;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{MAX_PACED_CLIENTS, MAX_SLICE, RATE_BURST, SLICE_TIME};

/// Decides when the next slice of bytes may move.
///
/// A slice waits twice. First for its client's *turn*: turns of one client are apart by the time that a slice takes at
/// the client's rate, or at its fair share of the total if that is less. Then in the *queue* for the total, first come,
/// first served. As turns belong to clients, many connections get no more than one.
///
/// Turns and queue are clocks that only reservations move forward, so what the total lets through from any moment on
/// never exceeds `rate × (time + burst)` by more than a slice.
pub(super) struct Pacer {
    rate: ByteRate,
    origin: Instant,
    slice: usize,
    clocks: Mutex<Clocks>,
}

#[derive(Default)]
struct Clocks {
    /// When the next slice may leave the queue, in nanoseconds since the origin.
    queue: u64,
    clients: HashMap<IpAddr, Client>,
    /// Clients of whom a slice is waiting.
    active: u64,
}

#[derive(Default)]
struct Client {
    /// When its next turn is, in nanoseconds since the origin.
    turn: u64,
    waiting: usize,
}

/// A turn that was given. Must be handed back with [`Pacer::done`].
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub at: Instant,
    client: IpAddr,
}

/// Stands for all clients for whom the table has no room.
const CROWD: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Pacer {
    pub(super) fn new(rate: ByteRate) -> Self {
        let rate = ByteRate { per_client: rate.per_client.max(1), total: rate.total.max(1) };
        let per_slice = u128::from(rate.per_client.min(rate.total)) * SLICE_TIME.as_nanos() / 1_000_000_000;
        let slice = usize::try_from(per_slice).unwrap_or(MAX_SLICE).clamp(1, MAX_SLICE);
        Self { rate, origin: Instant::now(), slice, clocks: Mutex::default() }
    }

    /// The most bytes that may be asked for at once.
    pub(super) fn slice(&self) -> usize {
        self.slice
    }

    /// When `bytes` of `client` may queue. They count from now on.
    pub(super) fn turn(&self, client: IpAddr, bytes: usize, now: Instant) -> Turn {
        let now = self.nanos(now);
        let clocks = &mut *self.clocks.lock();
        let client = if clocks.has_room_for(client, now) { client } else { CROWD };
        let place = clocks.clients.entry(client).or_default();
        place.waiting += 1;
        clocks.active += u64::from(place.waiting == 1);
        let fair = cost(bytes, self.rate.total).saturating_mul(clocks.active);
        // A little too close while the queue is short keeps it from running dry; too far apart shortens it again. In a
        // long queue, a client with one connection would come too late for its next turn.
        let long = clocks.queue.saturating_sub(now) > fair / 2;
        let share = if long { fair.saturating_add(fair / 2) } else { fair - fair / 16 };
        let at = reserve(&mut place.turn, now, cost(bytes, self.rate.per_client).max(share));
        Turn { at: self.at(at), client }
    }

    /// When `bytes` may leave the queue. They count from now on.
    pub(super) fn queue(&self, bytes: usize, now: Instant) -> Instant {
        let now = self.nanos(now);
        let clocks = &mut *self.clocks.lock();
        self.at(reserve(&mut clocks.queue, now, cost(bytes, self.rate.total)))
    }

    /// The slice has moved, or never will.
    pub(super) fn done(&self, turn: Turn) {
        let clocks = &mut *self.clocks.lock();
        if let Some(client) = clocks.clients.get_mut(&turn.client) {
            client.waiting = client.waiting.saturating_sub(1);
            clocks.active = clocks.active.saturating_sub(u64::from(client.waiting == 0));
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        // The burst is added so that the first slices may have it too.
        u64::try_from((at.duration_since(self.origin) + RATE_BURST).as_nanos()).unwrap_or(u64::MAX)
    }

    fn at(&self, nanos: u64) -> Instant {
        // Years ahead, where the rate is a byte per second and the queue endless, is about as good as never.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
        self.origin + Duration::from_nanos(nanos).saturating_sub(RATE_BURST).min(NEVER)
    }
}

impl Clocks {
    /// Whether the client is known or can be, clients that are idle and owe no time forgotten if need be.
    fn has_room_for(&mut self, client: IpAddr, now: u64) -> bool {
        if self.clients.len() < MAX_PACED_CLIENTS || self.clients.contains_key(&client) {
            return true;
        }
        self.clients.retain(|key, client| client.waiting > 0 || client.turn > now || *key == CROWD);
        self.clients.len() < MAX_PACED_CLIENTS + usize::from(self.clients.contains_key(&CROWD))
    }
}

/// Takes the next place on a clock, at most a burst in the past.
fn reserve(clock: &mut u64, now: u64, spacing: u64) -> u64 {
    let start = (*clock).max(now.saturating_sub(RATE_BURST.as_nanos() as u64));
    *clock = start.saturating_add(spacing);
    start
}

/// Nanoseconds that `bytes` take at `rate` bytes per second, rounded up.
fn cost(bytes: usize, rate: u64) -> u64 {
    u64::try_from((bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate))).unwrap_or(u64::MAX)
}
