use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mdns_sd::{DaemonEvent, DaemonStatus, IfKind, IfPredicate, RRType, Receiver, ServiceDaemon, ServiceInfo};
use tokio::time::timeout;

use super::Announcement;
use crate::interfaces::{Kind, kind_by_name};
use crate::limits;

/// The longest instance name of a service, in bytes (RFC 6763 section 4.1.1).
const INSTANCE_NAME: usize = 63;

/// Answers for one name, probes for it first, and follows the computer's addresses. Dropping it withdraws the name,
/// without waiting.
pub(super) struct Responder {
    daemon: ServiceDaemon,
}

/// What a [`Responder`] tells about its name.
pub(super) struct Events(Receiver<DaemonEvent>);

/// What came of announcing a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Announced,
    /// Another computer answered for it.
    Conflict,
    /// Nothing could be sent in time.
    Silent,
}

impl Responder {
    /// Starts announcing `name` (`nas.local`) and the service.
    pub(super) fn start(announcement: &Announcement, name: &str) -> mdns_sd::Result<(Self, Events)> {
        let responder = Self { daemon: ServiceDaemon::new()? };
        let events = Events(responder.daemon.monitor()?);
        responder.daemon.set_ip_check_interval(limits::MDNS_ADDRESS_CHECK)?;
        responder.daemon.disable_interface(IfKind::All)?;
        responder.daemon.enable_interface(interfaces(&announcement.bind))?;
        let service = if announcement.tls { "_https._tcp.local." } else { "_http._tcp.local." };
        let mut instance = announcement.service_name.clone();
        instance.truncate(instance.floor_char_boundary(INSTANCE_NAME));
        let properties = [("path", "/")];
        let info = ServiceInfo::new(service, &instance, &format!("{name}."), (), announcement.port, &properties[..])?;
        responder.daemon.register(info.enable_addr_auto())?;
        Ok((responder, events))
    }

    /// Withdraws the name; the receiver tells when that is done.
    pub(super) fn goodbye(self) -> Option<Receiver<DaemonStatus>> {
        self.daemon.shutdown().ok()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

impl Events {
    /// Waits for the first announcement, within [`limits::PUBLISH_TIME`].
    pub(super) async fn announced(&self) -> Outcome {
        let first = async {
            loop {
                match self.0.recv_async().await {
                    Ok(DaemonEvent::Announce(..)) => return Outcome::Announced,
                    Ok(event) if is_conflict(&event) => return Outcome::Conflict,
                    Ok(_) => {}
                    Err(_) => return Outcome::Silent,
                }
            }
        };
        timeout(limits::PUBLISH_TIME, first).await.unwrap_or(Outcome::Silent)
    }

    /// Waits until another computer answers for the name, or the responder is gone.
    pub(super) async fn conflict(&self) {
        while let Ok(event) = self.0.recv_async().await {
            if is_conflict(&event) {
                return;
            }
        }
    }
}

/// The responder chose another host name. It does so on one interface alone, so the name would differ from network to
/// network: we start over with the next name for all of them instead.
fn is_conflict(event: &DaemonEvent) -> bool {
    matches!(event, DaemonEvent::NameChange(change) if matches!(change.rr_type, RRType::A | RRType::AAAA))
}

/// The interfaces and addresses to announce: real networks only, asked anew whenever addresses change.
pub(super) fn interfaces(bind: &[IpAddr]) -> IfKind {
    let bind = bind.to_vec();
    IfKind::Predicate(IfPredicate::new(move |interface| {
        announces(&bind, interface.ip()) && kind_by_name(&interface.name, interface.is_p2p) == Kind::Lan
    }))
}

/// Whether `ip` belongs in the records of a server that listens on `bind`. Link-local IPv6 does not: browsers cannot
/// use it without the name of their own interface.
pub(super) fn announces(bind: &[IpAddr], ip: IpAddr) -> bool {
    let listened = bind.contains(&ip)
        || match ip {
            IpAddr::V4(_) => bind.contains(&Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => bind.contains(&Ipv6Addr::UNSPECIFIED.into()),
        };
    let link_local_v6 = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    listened && !ip.is_loopback() && !link_local_v6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_listened_on_are_announced() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = [ip("0.0.0.0"), ip("::")];
        for (bind, address, announced) in [
            (&all[..], "192.168.1.5", true),
            (&all[..], "2001:db8::5", true),
            (&all[..], "fe80::5", false),
            (&all[..], "127.0.0.1", false),
            (&all[..1], "2001:db8::5", false),
            (&[ip("192.168.1.5")], "192.168.1.5", true),
            (&[ip("192.168.1.5")], "10.0.0.5", false),
            (&[ip("127.0.0.1")], "127.0.0.1", false),
        ] {
            assert_eq!(announces(bind, ip(address)), announced, "{bind:?} {address}");
        }
    }
}
