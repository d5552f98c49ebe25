use std::sync::atomic::{AtomicUsize, Ordering};

use doorstep_model::PoolQueue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::ProxyError;

/// Where requests wait while no member is there. They hold no more than their own memory; bodies stay with the client.
pub struct Queue {
    settings: PoolQueue,
    waiting: AtomicUsize,
}

/// One request's place in the queue; dropping it gives the place back.
pub struct Place<'a>(&'a Queue);

impl Queue {
    pub fn new(settings: PoolQueue) -> Self {
        Self { settings, waiting: AtomicUsize::new(0) }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// # Errors
    /// [`ProxyError::QueueFull`].
    pub fn enter(&self) -> Result<Place<'_>, ProxyError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.most {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(ProxyError::QueueFull);
        }
        Ok(Place(self))
    }
}

impl Place<'_> {
    /// Waits for a change, or for `again`, when another look is worth while, but not beyond `deadline`.
    ///
    /// # Errors
    /// [`ProxyError::NotReady`] when the request has waited for as long as it may.
    pub async fn wait(
        &self,
        changes: &mut watch::Receiver<u64>,
        again: Option<Instant>,
        deadline: Instant,
    ) -> Result<(), ProxyError> {
        let over = || ProxyError::NotReady { seconds: self.0.settings.wait.as_secs() };
        if Instant::now() >= deadline {
            return Err(over());
        }
        let look = async {
            match again {
                Some(again) => tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep_until(again) => {}
                },
                None => drop(changes.changed().await),
            }
        };
        timeout_at(deadline, look).await.map_err(|_| over())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
