use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use doorstep_net::{DrainControl, Patience, WorkerMain, Workers};
use tokio::runtime::Handle;

/// Where an agent's connections live. Each should be a thread of its own (a current-thread runtime): a data connection, its
/// streams, and the connections to apps stay in one.
#[derive(Clone, Debug)]
pub enum Threads {
    /// So many, at least one, which the agent starts and ends.
    Own(usize),
    /// Those of a data plane that is there anyway; at least one.
    Given(Vec<Handle>),
}

/// Threads that the agent ends itself.
pub(super) struct Own {
    workers: Workers,
    close: DrainControl,
}

impl Own {
    /// Waits until they ended. Tasks that are left are dropped.
    pub fn end(self) {
        self.close.start(Patience::Now);
        self.workers.join();
    }

    /// The same without waiting.
    pub fn close(self) {
        self.close.start(Patience::Now);
    }
}

/// One thread, and how many data connections live there.
pub(super) struct Lane {
    pub handle: Handle,
    conns: AtomicUsize,
}

/// A data connection's place in a thread.
pub(super) struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.conns.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place where there are the fewest.
pub(super) fn place(lanes: &[Arc<Lane>]) -> Option<(Handle, Place)> {
    let lane = lanes.iter().min_by_key(|lane| lane.conns.load(Ordering::Relaxed))?;
    lane.conns.fetch_add(1, Ordering::Relaxed);
    Some((lane.handle.clone(), Place(lane.clone())))
}

pub(super) fn start(threads: Threads) -> io::Result<(Vec<Arc<Lane>>, Option<Own>)> {
    let lanes = |handles: Vec<Handle>| {
        handles.into_iter().map(|handle| Arc::new(Lane { handle, conns: AtomicUsize::new(0) })).collect::<Vec<_>>()
    };
    let count = match threads {
        Threads::Given(handles) if !handles.is_empty() => return Ok((lanes(handles), None)),
        Threads::Given(_) => 1,
        Threads::Own(count) => count.max(1),
    };
    let (close, closing) = DrainControl::new();
    let (sender, receiver) = mpsc::channel();
    let main = |_| -> WorkerMain {
        let (closing, sender) = (closing.clone(), sender.clone());
        Box::new(move || {
            Box::pin(async move {
                let _ = sender.send(Handle::current());
                drop(sender);
                closing.started().await;
            })
        })
    };
    let workers = Workers::start((0..count).map(main).collect())?;
    let handles = receiver.iter().take(count).collect();
    Ok((lanes(handles), Some(Own { workers, close })))
}
