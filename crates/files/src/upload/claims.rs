//! Who is writing which upload. A client that comes back after a dropped connection takes over from its own old one,
//! which the server may still believe to be alive.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::limits::{MAX_FINISHED, TAKE_OVER};

/// All uploads being written, by identifier, and the last ones that were finished.
#[derive(Default)]
pub struct Claims {
    held: Mutex<HashMap<String, Slot>>,
    finished: Mutex<VecDeque<Finished>>,
}

struct Slot {
    give_up: watch::Sender<bool>,
    /// Closes when the claim is dropped.
    released: watch::Receiver<()>,
}

/// An upload that arrived whole.
#[derive(Clone, Debug)]
pub struct Finished {
    pub id: String,
    pub size: u64,
    pub name: String,
}

/// The sole right to touch an upload's file. Shared with the writes in flight, so that it ends after the last of them.
pub struct Claim {
    claims: Arc<Claims>,
    id: String,
    give_up: watch::Receiver<bool>,
    /// Declared last, so that it closes after [`Claim::drop`] has made room in the map.
    _released: watch::Sender<()>,
}

impl Claims {
    /// Waits until whoever holds the upload lets go of it, and asks them to.
    ///
    /// # Errors
    /// [`Refusal::Busy`] after [`TAKE_OVER`].
    pub async fn claim(self: &Arc<Self>, id: &str) -> Result<Arc<Claim>, Refusal> {
        loop {
            let mut held = {
                let mut held = self.held.lock();
                match held.get(id) {
                    None => {
                        let (give_up_sender, give_up) = watch::channel(false);
                        let (released_sender, released) = watch::channel(());
                        held.insert(id.to_owned(), Slot { give_up: give_up_sender, released });
                        return Ok(Arc::new(Claim {
                            claims: Arc::clone(self),
                            id: id.to_owned(),
                            give_up,
                            _released: released_sender,
                        }));
                    }
                    Some(slot) => {
                        slot.give_up.send_replace(true);
                        slot.released.clone()
                    }
                }
            };
            // An error means that the other claim is gone; nothing else is ever sent.
            if timeout(TAKE_OVER, held.changed()).await.is_err() {
                return Err(Refusal::Busy);
            }
        }
    }

    pub fn is_held(&self, id: &str) -> bool {
        self.held.lock().contains_key(id)
    }

    /// Remembers the last few uploads that arrived whole, for clients that never saw the answer.
    pub fn remember(&self, upload: Finished) {
        let mut finished = self.finished.lock();
        if finished.len() >= MAX_FINISHED {
            finished.pop_front();
        }
        finished.push_back(upload);
    }

    pub fn finished(&self, id: &str) -> Option<Finished> {
        self.finished.lock().iter().find(|upload| upload.id == id).cloned()
    }
}

impl Claim {
    /// Completes when another connection wants to go on with this upload.
    pub async fn taken_over(&self) {
        let mut give_up = self.give_up.clone();
        // The sender lives in the map as long as this claim.
        let _ = give_up.wait_for(|give_up| *give_up).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.held.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newer_connection_takes_over() {
        let claims = Arc::new(Claims::default());
        let first = claims.claim("a").await.unwrap();
        assert!(claims.is_held("a"));
        let other = Arc::clone(&claims);
        let second = tokio::spawn(async move { other.claim("a").await.map(|_| ()) });
        first.taken_over().await;
        drop(first);
        second.await.unwrap().unwrap();
        assert!(!claims.is_held("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_let_go_makes_the_other_come_back() {
        let claims = Arc::new(Claims::default());
        let _first = claims.claim("a").await.unwrap();
        assert!(matches!(claims.claim("a").await, Err(Refusal::Busy)));
        claims.claim("b").await.unwrap();
    }

    #[test]
    fn the_memory_of_finished_uploads_is_bounded() {
        let claims = Claims::default();
        for n in 0..MAX_FINISHED + 5 {
            claims.remember(Finished { id: n.to_string(), size: 1, name: String::new() });
        }
        assert!(claims.finished("0").is_none());
        assert!(claims.finished("5").is_some());
    }
}
