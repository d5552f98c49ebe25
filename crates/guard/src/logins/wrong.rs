use std::collections::{HashSet, VecDeque};

use crate::limits::MAX_WRONG_LOGINS;

/// Logins that were found wrong, by their keyed digest; the oldest is forgotten first.
#[derive(Default)]
pub(super) struct WrongLogins {
    order: VecDeque<[u8; 32]>,
    known: HashSet<[u8; 32]>,
}

impl WrongLogins {
    pub(super) fn add(&mut self, digest: [u8; 32]) {
        if !self.known.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > MAX_WRONG_LOGINS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn has(&self, digest: &[u8; 32]) -> bool {
        self.known.contains(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let digest = |n: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            digest
        };
        let mut wrong = WrongLogins::default();
        (0..=MAX_WRONG_LOGINS).for_each(|n| wrong.add(digest(n)));
        wrong.add(digest(5));
        assert!(!wrong.has(&digest(0)) && wrong.has(&digest(1)) && wrong.has(&digest(MAX_WRONG_LOGINS)));
        assert_eq!((wrong.order.len(), wrong.known.len()), (MAX_WRONG_LOGINS, MAX_WRONG_LOGINS));
    }
}
