//! Small files in memory, so that most requests touch no disk and make no system call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::small::Small;
use crate::limits::{MAX_CACHED, MAX_CACHED_OF_ALL};

/// Small files by request path. What is in it was allowed by the policy when it was put in.
#[derive(Default)]
pub struct Cache(RwLock<Shelf>);

/// What the caches of all folders weigh together.
static OF_ALL: AtomicUsize = AtomicUsize::new(0);

struct Shelf {
    files: HashMap<Box<str>, Arc<Small>>,
    weight: usize,
    of_all: &'static AtomicUsize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self::counted_in(&OF_ALL)
    }
}

impl Cache {
    pub fn get(&self, path: &str) -> Option<Arc<Small>> {
        let file = self.0.read().files.get(path).cloned()?;
        file.mark_used();
        Some(file)
    }

    pub fn insert(&self, path: &str, file: Arc<Small>) {
        let mut shelf = self.0.write();
        let before = shelf.weight;
        shelf.add(file.weight());
        if let Some(old) = shelf.files.insert(path.into(), file) {
            shelf.take_off(old.weight());
        }
        if shelf.weight > MAX_CACHED {
            shelf.evict(MAX_CACHED / 4 * 3);
        } else if shelf.of_all.load(Ordering::Relaxed) > MAX_CACHED_OF_ALL {
            shelf.evict(before);
        }
    }

    pub fn remove(&self, path: &str) {
        let mut shelf = self.0.write();
        if let Some(old) = shelf.files.remove(path) {
            shelf.take_off(old.weight());
        }
    }
}

impl Shelf {
    fn counted_in(of_all: &'static AtomicUsize) -> Self {
        Self { files: HashMap::new(), weight: 0, of_all }
    }

    fn add(&mut self, weight: usize) {
        self.weight += weight;
        self.of_all.fetch_add(weight, Ordering::Relaxed);
    }

    fn take_off(&mut self, weight: usize) {
        self.weight -= weight;
        self.of_all.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Drops what nobody asked for since the last time, then anything, until it weighs `enough`.
    fn evict(&mut self, enough: usize) {
        let before = self.weight;
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
        self.of_all.fetch_sub(before - self.weight, Ordering::Relaxed);
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.weight, Ordering::Relaxed);
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

    #[test]
    fn all_folders_together_stay_within_a_bound() {
        static TOGETHER: AtomicUsize = AtomicUsize::new(0);
        let caches: Vec<Cache> = (0..6).map(|_| Cache(RwLock::new(Shelf::counted_in(&TOGETHER)))).collect();
        let file = file(60 * 1024);
        let fitting = MAX_CACHED / file.weight();
        for cache in &caches {
            for number in 0..fitting {
                cache.insert(&format!("/{number}"), Arc::clone(&file));
                assert!(TOGETHER.load(Ordering::Relaxed) <= MAX_CACHED_OF_ALL);
            }
        }
        assert!(TOGETHER.load(Ordering::Relaxed) > MAX_CACHED_OF_ALL / 10 * 9);
        drop(caches);
        assert_eq!(TOGETHER.load(Ordering::Relaxed), 0);
    }
}
