//! Small files in memory, so that most requests touch no disk and make no system call.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::small::Small;
use crate::limits::MAX_CACHED;

/// Small files by request path. What is in it was allowed by the policy when it was put in.
#[derive(Default)]
pub struct Cache(RwLock<Shelf>);

#[derive(Default)]
struct Shelf {
    files: HashMap<Box<str>, Arc<Small>>,
    weight: usize,
}

impl Cache {
    pub fn get(&self, path: &str) -> Option<Arc<Small>> {
        let file = self.0.read().files.get(path).cloned()?;
        file.mark_used();
        Some(file)
    }

    pub fn insert(&self, path: &str, file: Arc<Small>) {
        let mut shelf = self.0.write();
        shelf.weight += file.weight();
        if let Some(old) = shelf.files.insert(path.into(), file) {
            shelf.weight -= old.weight();
        }
        if shelf.weight > MAX_CACHED {
            shelf.evict();
        }
    }

    pub fn remove(&self, path: &str) {
        let mut shelf = self.0.write();
        if let Some(old) = shelf.files.remove(path) {
            shelf.weight -= old.weight();
        }
    }
}

impl Shelf {
    /// Drops what nobody asked for since the last time, then anything, down to three quarters.
    fn evict(&mut self) {
        let enough = MAX_CACHED / 4 * 3;
        for only_unused in [true, false] {
            let weight = &mut self.weight;
            self.files.retain(|_, file| {
                let goes = *weight > enough && (!only_unused || !file.take_used());
                if goes {
                    *weight -= file.weight();
                }
                !goes
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::stamp::Stamp;

    fn file(len: usize) -> Arc<Small> {
        let stat = rustix::fs::stat("/").unwrap();
        Arc::new(Small::new(String::new(), Stamp::of(&stat), &HeaderMap::new(), false, Bytes::from(vec![0; len])))
    }

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let cache = Cache::default();
        let each = 60 * 1024;
        cache.insert("/hot", file(each));
        for number in 0..(2 * MAX_CACHED / each) {
            assert!(cache.get("/hot").is_some(), "{number}");
            cache.insert(&format!("/{number}"), file(each));
            let shelf = cache.0.read();
            assert!(shelf.weight <= MAX_CACHED);
            assert_eq!(shelf.weight, shelf.files.values().map(|file| file.weight()).sum::<usize>());
        }
        cache.insert("/hot", file(1));
        cache.remove("/hot");
        assert!(cache.get("/hot").is_none());
    }
}
