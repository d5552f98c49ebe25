use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorstep_proto::gateway::Protocol;

use super::Igd;
use super::description::Service;
use super::http::Server;
use super::soap::{Values, call};
use crate::error::GatewayError;
use crate::limits::{LOCAL, LONGEST_LEASE, OTHER_PORTS};
use crate::surroundings::Road;

/// A mapping, as the router lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The computer that it leads to.
    pub client: Option<IpAddr>,
    pub port: u16,
    pub description: String,
    /// Seconds; 0 is for good.
    pub lease: u32,
}

impl Entry {
    /// Whether visitors are sent there. What a router does not list counts as so.
    pub(crate) fn leads_to(&self, internal: SocketAddr) -> bool {
        self.client.is_none_or(|client| client == internal.ip()) && (self.port == 0 || self.port == internal.port())
    }
}

/// A mapping that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub external: u16,
    /// `None` is for good.
    pub lease: Option<Duration>,
}

/// What is to be mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub protocol: Protocol,
    pub internal: SocketAddr,
    pub external: u16,
    pub lease: Duration,
    /// How our own entries are known.
    pub description: &'a str,
}

impl Igd {
    /// Puts services first that are connected: some routers describe several, of which one is in use.
    pub(super) async fn order(&mut self) {
        let mut connected = Vec::new();
        let mut others = Vec::new();
        for service in std::mem::take(&mut self.connections) {
            let status = call(self.server, &service, "GetStatusInfo", &[]).await;
            let up = status.is_ok_and(|values| values.get("NewConnectionStatus") == Some("Connected"));
            let address = if up { self.external_of(&service).await.ok().flatten() } else { None };
            if address.is_some() { connected.push(service) } else { others.push(service) }
        }
        connected.append(&mut others);
        self.connections = connected;
    }

    /// The router's address outside, as it tells it: may be private, and wrong.
    pub async fn external_address(&self) -> Result<Option<IpAddr>, GatewayError> {
        let mut last = GatewayError::Silent;
        for service in &self.connections {
            match self.external_of(service).await {
                Ok(Some(ip)) => return Ok(Some(ip)),
                Ok(None) => return Ok(None),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn external_of(&self, service: &Service) -> Result<Option<IpAddr>, GatewayError> {
        let values = call(self.server, service, "GetExternalIPAddress", &[]).await?;
        let ip = values.get("NewExternalIPAddress").and_then(|text| text.parse::<IpAddr>().ok());
        Ok(ip.filter(|ip| !ip.is_unspecified()))
    }

    /// Seconds since the router's connection came up: less than before means that its mappings may be gone.
    pub async fn uptime(&self) -> Result<u64, GatewayError> {
        let Some(service) = self.connections.first() else { return Err(GatewayError::Silent) };
        let values = call(self.server, service, "GetStatusInfo", &[]).await?;
        let uptime = values.get("NewUptime").and_then(|text| text.parse().ok());
        uptime.ok_or_else(|| GatewayError::Nonsense("no uptime".into()))
    }

    /// Makes or renews a mapping; another port than wished may be granted.
    pub async fn map(&self, wish: Wish<'_>, random: impl Fn() -> u16) -> Result<Granted, GatewayError> {
        let mut last = GatewayError::Silent;
        for service in &self.connections {
            match self.map_by(service, wish, &random).await {
                Ok(granted) => return Ok(granted),
                // The next service may be the one that is in use.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn map_by(
        &self,
        service: &Service,
        wish: Wish<'_>,
        random: impl Fn() -> u16,
    ) -> Result<Granted, GatewayError> {
        let first = match self.add(service, wish).await {
            Ok(granted) => return Ok(granted),
            Err(error) => error,
        };
        let GatewayError::Upnp { code, .. } = &first else { return Err(first) };
        let others: Vec<u16> = match code {
            // Taken, or only by an earlier run of our own.
            718 | 729 => {
                if let Ok(Some(entry)) = self.entry_of(service, wish.protocol, wish.external).await
                    && entry.client == Some(wish.internal.ip())
                    && is_ours(&entry.description, wish.description)
                    && !(entry.port != wish.internal.port()
                        && is_served(SocketAddr::new(wish.internal.ip(), entry.port)).await)
                {
                    self.delete_by(service, wish.protocol, wish.external).await?;
                    if let Ok(granted) = self.add(service, wish).await {
                        return Ok(granted);
                    }
                }
                if service.adds_any_port()
                    && let Ok(granted) = self.add_any(service, wish).await
                {
                    return Ok(granted);
                }
                std::iter::once(wish.internal.port()).chain(std::iter::repeat_with(&random).take(OTHER_PORTS)).collect()
            }
            // Ports below 1024 are for the router itself, it says.
            606 if wish.external < 1024 => {
                std::iter::once(wish.internal.port()).chain(std::iter::repeat_with(&random).take(OTHER_PORTS)).collect()
            }
            724 => vec![wish.internal.port()],
            _ => return Err(first),
        };
        let mut last = first;
        for external in others.into_iter().filter(|port| *port != wish.external && *port >= 1024) {
            match self.add(service, Wish { external, ..wish }).await {
                Ok(granted) => return Ok(granted),
                Err(error @ GatewayError::Upnp { code: 718 | 729 | 606 | 724, .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// The ladder of leases: as wished, for good where only that is granted, and the longest where neither is.
    async fn add(&self, service: &Service, wish: Wish<'_>) -> Result<Granted, GatewayError> {
        let wished = u32::try_from(wish.lease.as_secs()).unwrap_or(LONGEST_LEASE).clamp(1, LONGEST_LEASE);
        let add = |lease: u32| async move {
            call(self.server, service, "AddPortMapping", &arguments(wish, &lease.to_string()).each()).await?;
            let lease = (lease != 0).then(|| Duration::from_secs(lease.into()));
            Ok::<_, GatewayError>(Granted { external: wish.external, lease })
        };
        match add(wished).await {
            Err(GatewayError::Upnp { code: 725, .. }) => match add(0).await {
                Err(GatewayError::Upnp { code: 402, .. }) => add(LONGEST_LEASE).await,
                other => other,
            },
            other => other,
        }
    }

    async fn add_any(&self, service: &Service, wish: Wish<'_>) -> Result<Granted, GatewayError> {
        let lease = u32::try_from(wish.lease.as_secs()).unwrap_or(LONGEST_LEASE);
        let values =
            call(self.server, service, "AddAnyPortMapping", &arguments(wish, &lease.to_string()).each()).await?;
        let port = values.get("NewReservedPort").and_then(|text| text.parse::<u16>().ok()).filter(|port| *port != 0);
        let external = port.ok_or_else(|| GatewayError::Nonsense("it reserved no port".into()))?;
        Ok(Granted { external, lease: Some(Duration::from_secs(lease.into())) })
    }

    /// The mapping of a port; `None` where there is none.
    pub async fn entry(&self, protocol: Protocol, external: u16) -> Result<Option<Entry>, GatewayError> {
        let mut last = Ok(None);
        for service in &self.connections {
            match self.entry_of(service, protocol, external).await {
                Ok(Some(entry)) => return Ok(Some(entry)),
                other => last = other,
            }
        }
        last
    }

    async fn entry_of(
        &self,
        service: &Service,
        protocol: Protocol,
        external: u16,
    ) -> Result<Option<Entry>, GatewayError> {
        let port = external.to_string();
        let arguments = [("NewRemoteHost", ""), ("NewExternalPort", &port), ("NewProtocol", name(protocol))];
        match call(self.server, service, "GetSpecificPortMappingEntry", &arguments).await {
            Ok(values) => Ok(Some(entry(&values))),
            Err(GatewayError::Upnp { code: 713 | 714, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a mapping. One that is not there any more is removed.
    pub async fn delete(&self, protocol: Protocol, external: u16) -> Result<(), GatewayError> {
        let mut last = Ok(());
        for service in &self.connections {
            match self.delete_by(service, protocol, external).await {
                Ok(()) => return Ok(()),
                error => last = error,
            }
        }
        last
    }

    async fn delete_by(&self, service: &Service, protocol: Protocol, external: u16) -> Result<(), GatewayError> {
        let port = external.to_string();
        let arguments = [("NewRemoteHost", ""), ("NewExternalPort", &port), ("NewProtocol", name(protocol))];
        match call(self.server, service, "DeletePortMapping", &arguments).await {
            Ok(_) | Err(GatewayError::Upnp { code: 713 | 714, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens an IPv6 port; gives the id by which it is closed. `via` is the IPv6 road: routers open ports only for the
    /// address that asks.
    pub async fn open_pinhole(&self, wish: Wish<'_>, via: Option<Road>) -> Result<(String, Duration), GatewayError> {
        let service = self.firewall.as_ref().ok_or(GatewayError::NoPinholes)?;
        let status = call(self.server, service, "GetFirewallStatus", &[]).await;
        if status.is_ok_and(|values| values.get("InboundPinholeAllowed") == Some("0")) {
            return Err(GatewayError::Upnp { code: 703, words: String::new() });
        }
        // WANIPv6FirewallControl:1 section 2.5.4: from one second to a day.
        let lease = wish.lease.as_secs().clamp(1, 86_400);
        let (port, client, time) =
            (wish.internal.port().to_string(), wish.internal.ip().to_string(), lease.to_string());
        let arguments = [
            ("RemoteHost", ""),
            ("RemotePort", "0"),
            ("InternalClient", client.as_str()),
            ("InternalPort", port.as_str()),
            ("Protocol", number(wish.protocol)),
            ("LeaseTime", time.as_str()),
        ];
        let mut last = GatewayError::NoPinholes;
        for server in self.servers(via) {
            match call(server, service, "AddPinhole", &arguments).await {
                Ok(values) => {
                    let id = values.get("UniqueID").filter(|id| !id.is_empty() && id.len() < 16);
                    let id = id.ok_or_else(|| GatewayError::Nonsense("a pinhole without an id".into()))?;
                    return Ok((id.to_owned(), Duration::from_secs(lease)));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Lets a pinhole last longer. One that is gone is an error, so that it is opened anew.
    pub async fn renew_pinhole(&self, id: &str, lease: Duration, via: Option<Road>) -> Result<(), GatewayError> {
        let time = lease.as_secs().clamp(1, 86_400).to_string();
        self.pinhole("UpdatePinhole", &[("UniqueID", id), ("NewLeaseTime", &time)], via).await
    }

    /// Closes a pinhole. One that is gone is closed.
    pub async fn close_pinhole(&self, id: &str, via: Option<Road>) -> Result<(), GatewayError> {
        match self.pinhole("DeletePinhole", &[("UniqueID", id)], via).await {
            Err(GatewayError::Upnp { code: 704, .. }) => Ok(()),
            other => other,
        }
    }

    async fn pinhole(&self, action: &str, arguments: &[(&str, &str)], via: Option<Road>) -> Result<(), GatewayError> {
        let service = self.firewall.as_ref().ok_or(GatewayError::NoPinholes)?;
        let mut last = Err(GatewayError::NoPinholes);
        for server in self.servers(via) {
            last = call(server, service, action, arguments).await.map(drop);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// The same server by IPv6, where there is such a road, then as it was found.
    fn servers(&self, via: Option<Road>) -> impl Iterator<Item = Server> {
        let by_v6 = via.map(|road| Server { address: road.to(self.server.address.port()), from: road.local });
        by_v6.into_iter().chain([self.server])
    }
}

/// Whether a description is one of ours: written by the same program for the same purpose.
pub(crate) fn is_ours(theirs: &str, ours: &str) -> bool {
    !ours.is_empty() && theirs == ours
}

/// Whether another program of this computer is at work there: what it asked for is not taken from it.
async fn is_served(at: SocketAddr) -> bool {
    let connecting = tokio::net::TcpStream::connect(at);
    tokio::time::timeout(LOCAL, connecting).await.is_ok_and(|connected| connected.is_ok())
}

struct Arguments<'a> {
    wish: Wish<'a>,
    external: String,
    internal: String,
    client: String,
    lease: &'a str,
}

fn arguments<'a>(wish: Wish<'a>, lease: &'a str) -> Arguments<'a> {
    Arguments {
        wish,
        external: wish.external.to_string(),
        internal: wish.internal.port().to_string(),
        client: wish.internal.ip().to_string(),
        lease,
    }
}

impl Arguments<'_> {
    /// In the order of the specification, which some routers insist on (WANIPConnection:1 section 2.4.16).
    fn each(&self) -> [(&str, &str); 8] {
        [
            ("NewRemoteHost", ""),
            ("NewExternalPort", &self.external),
            ("NewProtocol", name(self.wish.protocol)),
            ("NewInternalPort", &self.internal),
            ("NewInternalClient", &self.client),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", self.wish.description),
            ("NewLeaseDuration", self.lease),
        ]
    }
}

fn entry(values: &Values) -> Entry {
    let number = |name: &str| values.get(name).and_then(|text| text.parse().ok());
    Entry {
        client: values.get("NewInternalClient").and_then(|text| text.parse().ok()),
        port: number("NewInternalPort").and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        description: values.get("NewPortMappingDescription").unwrap_or_default().to_owned(),
        lease: number("NewLeaseDuration").unwrap_or(0),
    }
}

/// Upper-case: some routers take nothing else.
fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

fn number(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "6",
        Protocol::Udp => "17",
    }
}
