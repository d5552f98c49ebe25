use std::future::Future;
use std::io;
use std::pin::Pin;
use std::thread::JoinHandle;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::{MAX_BLOCKING_THREADS, MAX_CONNECTIONS, RESERVED_DESCRIPTORS};

/// The threads of the data plane: one per core, each with a runtime of its own, sharing nothing on the way of a request.
pub struct Workers(Vec<JoinHandle<()>>);

/// What a worker does until the drain is over. Made in the worker's thread, since it stays there.
pub type WorkerMain = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Workers {
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(mains: Vec<WorkerMain>) -> io::Result<Self> {
        let mut threads = Vec::new();
        for (index, main) in mains.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(MAX_BLOCKING_THREADS)
                .build()?;
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            threads.push(thread.spawn(move || {
                runtime.block_on(main());
                // Tasks that are left are dropped here; blocking work gets no more time.
                runtime.shutdown_background();
            })?);
        }
        Ok(Self(threads))
    }

    /// Waits until every worker has ended.
    pub fn join(self) {
        for thread in self.0 {
            let _ = thread.join();
        }
    }
}

/// Raises the soft limit on open descriptors to the hard one and gives the number of client connections that fit,
/// one upstream connection each included.
pub fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let descriptors =
        getrlimit(Resource::Nofile).current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    (descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2).clamp(16, MAX_CONNECTIONS)
}
