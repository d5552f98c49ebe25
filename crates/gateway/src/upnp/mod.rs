//! UPnP Internet Gateway Devices, versions 1 and 2.

mod description;
mod http;
mod igd;
mod search;
mod soap;

use std::net::{IpAddr, SocketAddr};

use self::description::{Service, read};
use self::http::{Server, get};
pub use self::igd::Entry;
pub(crate) use self::igd::{Wish, is_ours};
use crate::surroundings::{Road, Surroundings};

/// A device that can let visitors in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Igd {
    pub road: Road,
    server: Server,
    pub model: String,
    /// Maps IPv4 ports; those that are connected first.
    pub connections: Vec<Service>,
    /// Opens IPv6 ports.
    pub firewall: Option<Service>,
    pub boot_id: Option<u32>,
}

impl Igd {
    /// The device's own address in this network.
    pub fn address(&self) -> IpAddr {
        self.server.address.ip()
    }
}

/// Whatever becomes of it.
pub(crate) fn read_any(text: &str) {
    let _ = read(text, "/d.xml");
    let _ = soap::read(text, "AddPortMapping", 500);
}

/// All devices that answer and have a service of use; the gateway's own first.
pub(crate) async fn find(on: &Surroundings) -> Vec<Igd> {
    let mut found: Vec<Igd> = Vec::new();
    for answer in search::search(on).await {
        let known = |igd: &Igd| answer.hosts.contains(&igd.address()) && igd.server.address.port() == answer.port;
        if found.iter().any(known) {
            continue;
        }
        if let Some(igd) = describe(&answer).await {
            found.push(igd);
        }
    }
    found
}

async fn describe(answer: &search::Answer) -> Option<Igd> {
    for host in &answer.hosts {
        let server = Server { address: SocketAddr::new(*host, answer.port), from: answer.road.local };
        let Ok(page) = get(server, &answer.path).await else { continue };
        if page.status != 200 {
            continue;
        }
        let Ok(description) = read(&page.body, &answer.path) else { continue };
        let (firewalls, connections): (Vec<Service>, Vec<Service>) =
            description.services.into_iter().partition(Service::is_firewall);
        if connections.is_empty() && firewalls.is_empty() {
            continue;
        }
        let mut igd = Igd {
            road: answer.road,
            server,
            model: description.model,
            connections,
            firewall: firewalls.into_iter().next(),
            boot_id: answer.boot_id,
        };
        igd.order().await;
        return Some(igd);
    }
    None
}
