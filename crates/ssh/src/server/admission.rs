use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::{SESSIONS, SESSIONS_PER_ADDRESS, STRANGERS, STRANGERS_PER_ADDRESS};

/// How many connections there are, and from where.
pub(super) struct Admission(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    all: usize,
    strangers: usize,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Default)]
struct Count {
    all: usize,
    strangers: usize,
}

/// A connection's place.
pub(super) struct Pass {
    admission: Arc<Admission>,
    address: IpAddr,
    stranger: bool,
}

impl Admission {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// A place for somebody who has not proven a key; none where there are too many.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Pass> {
        let address = network(peer);
        let mut counts = self.0.lock();
        if counts.all >= SESSIONS || counts.strangers >= STRANGERS {
            return None;
        }
        let count = counts.by_address.entry(address).or_default();
        if count.all >= SESSIONS_PER_ADDRESS || count.strangers >= STRANGERS_PER_ADDRESS {
            return None;
        }
        (count.all, count.strangers) = (count.all + 1, count.strangers + 1);
        (counts.all, counts.strangers) = (counts.all + 1, counts.strangers + 1);
        Some(Pass { admission: self.clone(), address, stranger: true })
    }
}

impl Pass {
    /// The key was proven.
    pub fn known(&mut self) {
        if std::mem::take(&mut self.stranger) {
            let mut counts = self.admission.0.lock();
            counts.strangers -= 1;
            if let Some(count) = counts.by_address.get_mut(&self.address) {
                count.strangers -= 1;
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.known();
        let mut counts = self.admission.0.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            count.all -= 1;
            if count.all == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Whom an address stands for: with IPv6, everybody has a /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_take_no_places_of_others() {
        let admission = Admission::new();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut strangers: Vec<_> =
            (0..STRANGERS_PER_ADDRESS).map(|_| admission.admit(ip("2001:db8::1")).unwrap()).collect();
        assert!(admission.admit(ip("2001:db8::2")).is_none());
        assert!(admission.admit(ip("2001:db8:0:1::2")).is_some());
        strangers[0].known();
        assert!(admission.admit(ip("2001:db8::2")).is_some());
        drop(strangers);
        assert!(admission.0.lock().by_address.is_empty());
    }
}
