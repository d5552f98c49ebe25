//! Changes of this computer's place in the network: what makes a connection that looks well be dead.

mod netlink;
mod sleep;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::limits::{CHANGES_PAUSE, CHANGES_SETTLE};
use netlink::Netlink;
use sleep::WakeWatch;

/// What changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NetworkChange {
    /// An interface went up or down, lost or found its carrier.
    Links,
    Addresses,
    DefaultRoute,
    /// The computer was suspended, or stood still, for so long.
    Slept(Duration),
}

/// Tells of [`NetworkChange`]s as they happen, by what the kernel says (rtnetlink(7), timerfd_create(2)).
pub struct NetworkChanges {
    netlink: Option<Netlink>,
    wakes: Option<WakeWatch>,
    /// What is to be told, and when.
    pending: Option<(NetworkChange, Instant)>,
    quiet_until: Instant,
}

impl NetworkChanges {
    /// Watches from now on. Where the kernel does not tell of something (a container may forbid it), that is left out.
    /// Needs a runtime.
    pub fn watch() -> Self {
        let (netlink, wakes) = (Netlink::open().ok(), WakeWatch::open().ok());
        Self { netlink, wakes, pending: None, quiet_until: Instant::now() }
    }

    /// The next change, when the flurry of messages that each one comes as is over; not more than one in
    /// [`CHANGES_PAUSE`]. Cancel-safe.
    pub async fn next(&mut self) -> NetworkChange {
        loop {
            let due = self.pending.map(|(_, due)| due);
            tokio::select! {
                change = raw(&mut self.netlink, &mut self.wakes) => {
                    let due = due.unwrap_or_else(|| (Instant::now() + CHANGES_SETTLE).max(self.quiet_until));
                    let change = self.pending.map_or(change, |(before, _)| before.max(change));
                    self.pending = Some((change, due));
                }
                () = until(due) => {
                    if let Some((change, _)) = self.pending.take() {
                        self.quiet_until = Instant::now() + CHANGES_PAUSE;
                        return change;
                    }
                }
            }
        }
    }
}

async fn raw(netlink: &mut Option<Netlink>, wakes: &mut Option<WakeWatch>) -> NetworkChange {
    let network = async {
        match netlink {
            Some(netlink) => netlink.next().await,
            None => std::future::pending().await,
        }
    };
    let slept = async {
        match wakes {
            Some(wakes) => wakes.next().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        change = network => change,
        long = slept => NetworkChange::Slept(long),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
