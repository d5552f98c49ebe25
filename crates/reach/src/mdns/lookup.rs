use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, IfKind, ScopedIp, ServiceDaemon};
use tokio::time::{Instant, timeout_at};

use crate::limits;

/// Asks the local network for `name` (`nas.local`) by multicast and collects every address it is answered with, this
/// computer's own responders included. Empty: nobody answered within `wait`.
pub(super) async fn lookup(name: &str, interfaces: IfKind, wait: Duration) -> mdns_sd::Result<BTreeSet<IpAddr>> {
    // A querier of its own, whose cache is empty: what it hears came over the network just now.
    let querier = Querier(ServiceDaemon::new()?);
    querier.0.disable_interface(IfKind::All)?;
    querier.0.enable_interface(interfaces)?;
    let answers = querier.0.resolve_hostname(&format!("{name}."), None)?;
    let mut found = BTreeSet::new();
    let mut deadline = Instant::now() + wait;
    while let Ok(Ok(event)) = timeout_at(deadline, answers.recv_async()).await {
        if let HostnameResolutionEvent::AddressesFound(_, addresses) = event {
            if found.is_empty() {
                deadline = Instant::now() + limits::LOOKUP_SETTLE;
            }
            found.extend(addresses.iter().map(ScopedIp::to_ip_addr));
        }
    }
    Ok(found)
}

struct Querier(ServiceDaemon);

impl Drop for Querier {
    fn drop(&mut self) {
        // It only asked, so there is no goodbye to wait for; its thread ends by itself.
        let _ = self.0.shutdown();
    }
}
