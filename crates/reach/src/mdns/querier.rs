use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, IfKind, Receiver, ScopedIp, ServiceDaemon};
use tokio::time::{Instant, timeout_at};

use crate::limits;

/// Asks the local network for one name by multicast, again after one, two, four … seconds (RFC 6762 section 5.2), and
/// hears announcements of it as well. Its cache starts empty: what it hears came over the network just now, from this
/// computer's own responders too.
pub(super) struct Querier {
    daemon: ServiceDaemon,
    answers: Receiver<HostnameResolutionEvent>,
    heard: BTreeSet<IpAddr>,
}

impl Querier {
    /// Starts asking for `name` (`nas.local`).
    pub(super) fn ask(name: &str, interfaces: IfKind) -> mdns_sd::Result<Self> {
        let daemon = ServiceDaemon::new()?;
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(interfaces)?;
        let answers = daemon.resolve_hostname(&format!("{name}."), None)?;
        Ok(Self { daemon, answers, heard: BTreeSet::new() })
    }

    /// Listens until there is a new answer and a moment longer, for a second machine with the same name; or until
    /// `wait` is over. Every address heard so far.
    pub(super) async fn listen(&mut self, wait: Duration) -> &BTreeSet<IpAddr> {
        let mut deadline = Instant::now() + wait;
        let mut settling = false;
        while let Ok(Ok(event)) = timeout_at(deadline, self.answers.recv_async()).await {
            if let HostnameResolutionEvent::AddressesFound(_, addresses) = event {
                let before = self.heard.len();
                self.heard.extend(addresses.iter().map(ScopedIp::to_ip_addr));
                if !settling && self.heard.len() > before {
                    settling = true;
                    deadline = deadline.min(Instant::now() + limits::LOOKUP_SETTLE);
                }
            }
        }
        &self.heard
    }

    /// Waits until one of the addresses is withdrawn, or no longer answered for.
    pub(super) async fn gone(&self) {
        while let Ok(event) = self.answers.recv_async().await {
            if let HostnameResolutionEvent::AddressesRemoved(..) = event {
                return;
            }
        }
    }
}

impl Drop for Querier {
    fn drop(&mut self) {
        // It only asked, so there is no goodbye to wait for; its thread ends by itself.
        let _ = self.daemon.shutdown();
    }
}
