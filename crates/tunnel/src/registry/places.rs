use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::lent::Place;

/// Parts, each copied when a name is added to it: with 100,000 names, a few hundred pointers.
const SHARDS: usize = 256;

/// Every name that has an owner. Reading takes no lock and never waits.
pub(super) struct Places {
    shards: Box<[ArcSwap<Shard>]>,
    hasher: RandomState,
    /// Held while shards are replaced.
    writing: Mutex<()>,
}

type Shard = HashMap<Arc<str>, Arc<Place>>;

impl Places {
    pub fn new() -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { shards, hasher: RandomState::new(), writing: Mutex::new(()) }
    }

    pub fn get(&self, host: &str) -> Option<Arc<Place>> {
        self.shards[self.shard(host)].load().get(host).cloned()
    }

    /// The places of these names; those that are new are made.
    pub fn make<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) {
        let _writing = self.writing.lock();
        let mut changed: HashMap<usize, Shard> = HashMap::new();
        for host in hosts {
            let at = self.shard(host);
            let shard = changed.entry(at).or_insert_with(|| Shard::clone(&self.shards[at].load()));
            let host: Arc<str> = host.into();
            shard.entry(host.clone()).or_insert_with(|| Arc::new(Place::new(host)));
        }
        for (at, shard) in changed {
            self.shards[at].store(Arc::new(shard));
        }
    }

    /// The place of a name, made if it is new.
    pub fn make_one(&self, host: &str) -> Arc<Place> {
        loop {
            if let Some(place) = self.get(host) {
                return place;
            }
            self.make([host]);
        }
    }

    pub fn remove(&self, host: &str) -> Option<Arc<Place>> {
        let _writing = self.writing.lock();
        let at = self.shard(host);
        let mut shard = Shard::clone(&self.shards[at].load());
        let place = shard.remove(host);
        self.shards[at].store(Arc::new(shard));
        place
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<Place>> {
        self.shards.iter().flat_map(|shard| shard.load().values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, host: &str) -> usize {
        self.hasher.hash_one(host) as usize % SHARDS
    }
}
