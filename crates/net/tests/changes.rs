//! What the kernel tells of changes, in a network of the test's own.

use std::process::Command;
use std::time::Duration;

use doorstep_net::{NetworkChange, NetworkChanges};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tokio::time::timeout;

/// Runs `ip` in this thread's network.
fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(done.success(), "ip {arguments}");
}

async fn next(changes: &mut NetworkChanges) -> NetworkChange {
    timeout(Duration::from_secs(20), changes.next()).await.expect("nothing was told")
}

async fn story() {
    let mut changes = NetworkChanges::watch();
    ip("link set lo up");
    assert_eq!(next(&mut changes).await, NetworkChange::Links);
    ip("addr add 10.77.0.2/24 dev lo");
    assert_eq!(next(&mut changes).await, NetworkChange::Addresses);
    ip("route add 10.78.0.0/16 dev lo");
    ip("route add default dev lo");
    assert_eq!(next(&mut changes).await, NetworkChange::DefaultRoute);
    ip("addr del 10.77.0.2/24 dev lo");
    assert!(next(&mut changes).await >= NetworkChange::Addresses);
    // A route to somewhere else is no news.
    ip("addr add 10.77.0.3/24 dev lo");
    assert_eq!(next(&mut changes).await, NetworkChange::Addresses);
    ip("route add 10.79.0.0/16 dev lo");
    let quiet = timeout(Duration::from_secs(2), changes.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

/// Where networks may be made, that is, for root.
#[test]
fn links_addresses_and_routes_are_told() {
    let thread = std::thread::spawn(|| {
        // SAFETY: this thread's network namespace alone changes; no other thread's view, and no memory, is concerned.
        if unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.is_err() {
            return;
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story());
    });
    thread.join().unwrap();
}
