use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use super::State;

/// How each way fares, for whoever asks.
#[derive(Clone)]
pub struct Board(Arc<Mutex<Vec<WayStatus>>>);

/// One way.
#[derive(Clone, Debug)]
pub struct WayStatus {
    pub via: String,
    pub fares: Fares,
    /// Since when it is so.
    pub since: SystemTime,
    /// Where visitors reach us by it: offers and addresses.
    pub addresses: Vec<(usize, String)>,
    /// What was refused, and why: offers and words.
    pub refused: Vec<(usize, String)>,
    /// Times that it came up again.
    pub reconnects: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fares {
    /// Not taken: one before it works.
    StandsBy,
    In(State),
}

impl Board {
    pub fn new(vias: impl Iterator<Item = String>) -> Self {
        let fresh = |via| WayStatus {
            via,
            fares: Fares::StandsBy,
            since: SystemTime::now(),
            addresses: Vec::new(),
            refused: Vec::new(),
            reconnects: 0,
        };
        Self(Arc::new(Mutex::new(vias.map(fresh).collect())))
    }

    pub fn read(&self) -> Vec<WayStatus> {
        self.0.lock().clone()
    }

    /// Changes one; `None` if there is no such way.
    pub(super) fn with<T>(&self, way: usize, change: impl FnOnce(&mut WayStatus) -> T) -> Option<T> {
        self.0.lock().get_mut(way).map(change)
    }
}

impl WayStatus {
    /// Whether that is news.
    pub(super) fn becomes(&mut self, via: &str, state: &State) -> bool {
        let was_up_before = !self.addresses.is_empty();
        let is_up = |fares: &Fares| matches!(fares, Fares::In(State::Up { .. }));
        let fares = Fares::In(state.clone());
        if is_up(&fares) != is_up(&self.fares) {
            self.since = SystemTime::now();
            self.reconnects += u64::from(is_up(&fares) && was_up_before);
        }
        let news = fares != self.fares || via != self.via;
        self.fares = fares;
        via.clone_into(&mut self.via);
        news
    }

    pub(super) fn lent(&mut self, offer: usize, address: &str) {
        self.refused.retain(|(refused, _)| *refused != offer);
        self.addresses.retain(|(known, _)| *known != offer);
        self.addresses.push((offer, address.to_owned()));
    }

    pub(super) fn refused(&mut self, offer: usize, why: &str) {
        self.refused.retain(|(refused, _)| *refused != offer);
        self.refused.push((offer, why.to_owned()));
    }

    /// The address that an offer had and has no more.
    pub(super) fn taken_back(&mut self, offer: usize) -> Option<String> {
        let at = self.addresses.iter().position(|(known, _)| *known == offer)?;
        Some(self.addresses.remove(at).1)
    }

    /// Nothing is lent any more, and it stays so: the addresses that it had.
    pub(super) fn stopped(&mut self) -> Vec<String> {
        std::mem::take(&mut self.addresses).into_iter().map(|(_, address)| address).collect()
    }

    /// Nothing is known of it any more; returns the addresses that it had.
    pub(super) fn left(&mut self) -> Vec<String> {
        self.fares = Fares::StandsBy;
        self.since = SystemTime::now();
        self.refused.clear();
        self.stopped()
    }
}

/// Seconds until a time that may be over.
pub fn seconds_until(until: Instant) -> u64 {
    until.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000) as u64
}
