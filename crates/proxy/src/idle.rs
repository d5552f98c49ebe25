//! Idle connections, kept for the next request to the same upstream by the same thread.
//!
//! A thread is a whole runtime here, so nothing is shared and nothing is locked. The connection used last is taken
//! first: it is the one least likely to have been closed, and the others may grow old.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::client::Connection;
use crate::limits;
use crate::pool::{InFlight, Member};

/// The identity of one upstream of one service. Connections never pass from one key to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey(u64);

impl PoolKey {
    /// A key that nobody else has.
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// An idle connection that is still open and quiet. `certain` asks the kernel instead of the runtime: for requests
/// that could not be sent again if the connection turned out to be closed.
pub fn take(key: PoolKey, certain: bool) -> Option<Connection> {
    let now = Instant::now();
    loop {
        let idle = POOL.with_borrow_mut(|pool| pool.idle.get_mut(&key)?.idle.pop())?;
        let mut connection = idle.connection;
        if idle.until > now && connection.is_quiet(certain) {
            return Some(connection);
        }
    }
}

/// Where a connection goes when its exchange is complete.
pub struct Home {
    pub key: PoolKey,
    /// Idle connections kept per thread.
    pub most: usize,
    /// The member's account of the exchange; none where there is but one upstream for ever.
    pub lease: Option<InFlight>,
}

impl Home {
    /// Keeps a connection whose last exchange is complete, unless its member is leaving.
    pub fn put(&self, connection: Connection) {
        let member = self.lease.as_ref().map(InFlight::member);
        if self.most > 0 && member.is_none_or(|member| !member.is_leaving()) {
            put(self.key, self.most, member, connection);
        }
    }
}

fn put(key: PoolKey, most: usize, member: Option<&Arc<Member>>, connection: Connection) {
    let until = Instant::now() + connection.keep_for();
    let sweeper = if POOL.with_borrow(|pool| pool.sweeping) {
        None
    } else {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        Some(runtime)
    };
    POOL.with_borrow_mut(|pool| {
        pool.sweeping = true;
        let shelf = pool.idle.entry(key).or_insert_with(|| Shelf { member: member.cloned(), idle: Vec::new() });
        if shelf.idle.len() >= most {
            // The oldest goes.
            shelf.idle.remove(0);
        }
        shelf.idle.push(Idle { connection, until });
    });
    if let Some(runtime) = sweeper {
        runtime.spawn(sweep_until_empty(Sweeping));
    }
}

#[derive(Default)]
struct ThreadPool {
    idle: HashMap<PoolKey, Shelf>,
    sweeping: bool,
}

struct Shelf {
    member: Option<Arc<Member>>,
    idle: Vec<Idle>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

thread_local! {
    static POOL: RefCell<ThreadPool> = RefCell::default();
}

/// Closes connections that grew old, or whose member is leaving. An app with a single thread may be waiting on one of
/// them.
async fn sweep_until_empty(_sweeping: Sweeping) {
    loop {
        tokio::time::sleep(limits::POOL_SWEEP).await;
        let now = Instant::now();
        let empty = POOL.with_borrow_mut(|pool| {
            pool.idle.retain(|_, shelf| {
                let leaving = shelf.member.as_ref().is_some_and(|member| member.is_leaving());
                shelf.idle.retain(|one| one.until > now && !leaving);
                !shelf.idle.is_empty()
            });
            pool.idle.is_empty()
        });
        if empty {
            return;
        }
    }
}

/// Marks the sweep as over also when its runtime ends.
struct Sweeping;

impl Drop for Sweeping {
    fn drop(&mut self) {
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                pool.sweeping = false;
            }
        });
    }
}
