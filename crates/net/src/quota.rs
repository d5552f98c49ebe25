use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::CLIENT_SHARE;

/// Counts open connections, in all and per client, over all workers.
#[derive(Debug)]
pub struct Quota {
    total: usize,
    per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    clients: HashMap<IpAddr, usize>,
}

/// One counted connection; dropping it gives the place back.
#[derive(Debug)]
pub struct QuotaPass {
    quota: Arc<Quota>,
    client: Option<IpAddr>,
}

impl Quota {
    /// At most `total` connections, of which one client holds at most a quarter (but 64 if there are as many).
    pub fn new(total: usize) -> Arc<Self> {
        let per_client = (total / CLIENT_SHARE).max(64).min(total);
        Arc::new(Self { total, per_client, open: Mutex::default() })
    }

    /// A place for one more connection from `peer`, if there is one.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<QuotaPass> {
        let mut pass = self.admit_anybody()?;
        pass.name(peer).then_some(pass)
    }

    /// A place for a connection of which it is not known yet who opened it. See [`QuotaPass::name`].
    pub fn admit_anybody(self: &Arc<Self>) -> Option<QuotaPass> {
        let mut open = self.open.lock();
        if open.total >= self.total {
            return None;
        }
        open.total += 1;
        Some(QuotaPass { quota: self.clone(), client: None })
    }

    pub fn open(&self) -> usize {
        self.open.lock().total
    }
}

impl QuotaPass {
    /// Says who opened the connection. `false` if that client holds too many already.
    pub fn name(&mut self, peer: IpAddr) -> bool {
        let client = client_key(peer);
        let mut open = self.quota.open.lock();
        let mine = open.clients.entry(client).or_insert(0);
        if self.client.is_some() || *mine >= self.quota.per_client {
            return false;
        }
        *mine += 1;
        self.client = Some(client);
        true
    }
}

impl Drop for QuotaPass {
    fn drop(&mut self) {
        let mut open = self.quota.open.lock();
        open.total -= 1;
        let Some(client) = self.client else { return };
        if let Some(mine) = open.clients.get_mut(&client) {
            *mine -= 1;
            if *mine == 0 {
                open.clients.remove(&client);
            }
        }
    }
}

/// One household counts as one client: an IPv6 /64.
fn client_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_every_place() {
        let quota = Quota::new(400);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same_household: IpAddr = "2001:db8::2".parse().unwrap();
        let mut held: Vec<_> = (0..100).map(|_| quota.admit(one).unwrap()).collect();
        assert!(quota.admit(same_household).is_none());
        let other = quota.admit("192.0.2.1".parse().unwrap());
        assert!(other.is_some());
        held.pop();
        assert!(quota.admit(same_household).is_some());
        held.extend(quota.admit(one));
        let mut unnamed = quota.admit_anybody().unwrap();
        assert!(!unnamed.name(one), "the client is at its bound");
        drop((held, other, unnamed));
        assert_eq!((quota.open(), quota.open.lock().clients.len()), (0, 0));
    }
}
