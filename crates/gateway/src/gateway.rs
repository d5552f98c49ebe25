use std::net::IpAddr;
use std::time::Duration;

use doorstep_proto::gateway::{Protocol, pcp};
use futures_util::future::join_all;

use crate::datagram;
use crate::error::GatewayError;
use crate::surroundings::{Road, Surroundings};
use crate::upnp::{self, Igd, Wish};

/// Who passes this computer's packets on, on one road, and what it answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub road: Road,
    /// Seconds for which its mappings have stood, where it speaks PCP.
    pub pcp: Option<u32>,
    /// The same, where it speaks NAT-PMP.
    pub nat_pmp: Option<u32>,
    /// Its IPv4 address outside, as it says itself. It may be private, or a lie.
    pub external_ip: Option<IpAddr>,
    /// It refused to say its address for want of one: another router, or the provider's, stands in front of it.
    pub behind_another: bool,
    pub(crate) igd: Option<Igd>,
    /// Devices that would map ports, and are not the one that passes our packets on: a second router, a repeater.
    pub others: Vec<IpAddr>,
}

impl Gateway {
    /// Whether it speaks UPnP IGD.
    pub fn speaks_upnp(&self) -> bool {
        self.igd.is_some()
    }

    /// Whether it can be asked for anything at all.
    pub fn answers(&self) -> bool {
        self.pcp.is_some() || self.nat_pmp.is_some() || self.igd.is_some()
    }

    /// What it is, where it says so: `FRITZ!Box 7590`.
    pub fn model(&self) -> Option<&str> {
        self.igd.as_ref().map(|igd| igd.model.as_str()).filter(|model| !model.is_empty())
    }

    /// The names of the protocols that it answers.
    pub fn protocols(&self) -> Vec<&'static str> {
        let each = [(self.igd.is_some(), "UPnP"), (self.nat_pmp.is_some(), "NAT-PMP"), (self.pcp.is_some(), "PCP")];
        each.into_iter().filter(|(speaks, _)| *speaks).map(|(_, name)| name).collect()
    }

    /// The mapping of a port, as UPnP lists it; `None` where there is none.
    ///
    /// # Errors
    /// [`GatewayError::Silent`] where the gateway does not speak UPnP, or does not answer.
    pub async fn entry(&self, protocol: Protocol, external: u16) -> Result<Option<upnp::Entry>, GatewayError> {
        self.igd.as_ref().ok_or(GatewayError::Silent)?.entry(protocol, external).await
    }
}

/// Asks on every road who is there, by all protocols at once. Ends within a few seconds; a gateway that answers nothing is
/// there as well, without protocols.
pub async fn find(on: &Surroundings) -> Vec<Gateway> {
    let asked = join_all(on.roads.iter().map(|road| ask(*road, on.port)));
    let (igds, mut gateways) = tokio::join!(upnp::find(on), asked);
    for igd in igds {
        let is_it = |gateway: &&mut Gateway| gateway.road == igd.road && igd.address() == gateway.road.gateway;
        if let Some(gateway) = gateways.iter_mut().find(is_it) {
            gateway.igd.get_or_insert(igd);
        } else if let Some(gateway) = gateways.iter_mut().find(|gateway| gateway.road == igd.road) {
            gateway.others.push(igd.address());
        }
    }
    let firewall = gateways.iter().find_map(|gateway| gateway.igd.clone().filter(|igd| igd.firewall.is_some()));
    for gateway in &mut gateways {
        if !gateway.road.is_ipv4() {
            gateway.igd.clone_from(&firewall);
        } else if let Some(igd) = &gateway.igd {
            match igd.external_address().await {
                Ok(ip) => gateway.external_ip = ip.or(gateway.external_ip),
                Err(error) => gateway.behind_another |= error.is_behind_another(),
            }
        }
    }
    gateways
}

async fn ask(road: Road, port: u16) -> Gateway {
    let nat_pmp = async { if road.is_ipv4() { Some(datagram::external_address(&road, port).await) } else { None } };
    let (pcp, nat_pmp) = tokio::join!(datagram::announce(&road, port), nat_pmp);
    let mut gateway = Gateway {
        road,
        pcp: pcp.ok(),
        nat_pmp: None,
        external_ip: None,
        behind_another: false,
        igd: None,
        others: Vec::new(),
    };
    match nat_pmp {
        Some(Ok((ip, epoch))) => {
            gateway.nat_pmp = Some(epoch);
            gateway.external_ip = Some(ip).filter(|ip| !ip.is_unspecified());
        }
        Some(Err(error)) if error.is_refusal() => {
            gateway.nat_pmp = Some(0);
            gateway.behind_another = error.is_behind_another();
        }
        _ => {}
    }
    gateway
}

/// By which protocol something was granted, with what it takes to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grip {
    Pcp(pcp::Nonce),
    NatPmp,
    Upnp,
    /// The id of a pinhole.
    Pinhole(String),
}

impl Grip {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pcp(_) => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp | Self::Pinhole(_) => "UPnP",
        }
    }
}

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub grip: Grip,
    pub external: u16,
    /// The address outside, where the answer told it.
    pub ip: Option<IpAddr>,
    /// `None` is for good.
    pub lease: Option<Duration>,
    /// Seconds for which the gateway's mappings have stood.
    pub age: Option<u64>,
}

impl Gateway {
    /// Asks for a mapping (on an IPv4 road) or a pinhole (IPv6), by each protocol in turn. One that grants the wished port is
    /// preferred.
    pub(crate) async fn grant(&self, port: u16, wish: Wish<'_>, nonce: pcp::Nonce) -> Result<Grant, GatewayError> {
        let mut last = GatewayError::Silent;
        // What grants another port than the wished one is given back before the next is asked: gateways keep one table for
        // all protocols, and would later remove both.
        let mut other: Option<Grip> = None;
        let grips = self.grips(nonce);
        let count = grips.len();
        for (at, grip) in grips.into_iter().enumerate() {
            match self.ask_for(port, wish, grip.clone()).await {
                Ok(grant) if grant.external == wish.external || at + 1 == count => return Ok(grant),
                Ok(grant) => {
                    let _ = self.release(port, wish, &grant).await;
                    other.get_or_insert(grip);
                }
                // A refusal says more than silence.
                Err(error) if error.is_refusal() || !last.is_refusal() => last = error,
                Err(_) => {}
            }
        }
        match other {
            Some(grip) => self.ask_for(port, wish, grip).await,
            None => Err(last),
        }
    }

    pub(crate) fn grips(&self, nonce: pcp::Nonce) -> Vec<Grip> {
        let pcp = self.pcp.map(|_| Grip::Pcp(nonce));
        let nat_pmp = self.nat_pmp.filter(|_| self.road.is_ipv4()).map(|_| Grip::NatPmp);
        let upnp = self.igd.as_ref().and_then(|igd| match self.road.is_ipv4() {
            true if igd.connections.is_empty() => None,
            true => Some(Grip::Upnp),
            false => igd.firewall.as_ref().map(|_| Grip::Pinhole(String::new())),
        });
        pcp.into_iter().chain(nat_pmp).chain(upnp).collect()
    }

    async fn ask_for(&self, port: u16, wish: Wish<'_>, grip: Grip) -> Result<Grant, GatewayError> {
        let ports = (wish.protocol, wish.internal.port(), wish.external);
        match grip {
            Grip::Pcp(nonce) => {
                let lease = datagram::map_pcp(&self.road, port, nonce, ports, wish.lease).await?;
                Ok(Grant::from_lease(Grip::Pcp(nonce), &lease))
            }
            Grip::NatPmp => {
                let lease = datagram::map_natpmp(&self.road, port, ports, wish.lease).await?;
                // It does not say the address with the mapping.
                let outside = datagram::external_address(&self.road, port).await.ok();
                let ip = outside.map(|(ip, _)| ip).filter(|ip| !ip.is_unspecified());
                Ok(Grant { ip, ..Grant::from_lease(Grip::NatPmp, &lease) })
            }
            Grip::Upnp => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                let granted = igd.map(wish, other_port).await?;
                let age = igd.uptime().await.ok();
                Ok(Grant { grip: Grip::Upnp, external: granted.external, ip: None, lease: granted.lease, age })
            }
            Grip::Pinhole(id) => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                let renewed = !id.is_empty() && igd.renew_pinhole(&id, wish.lease, Some(self.road)).await.is_ok();
                let (id, lease) = match renewed {
                    true => (id, wish.lease),
                    false => igd.open_pinhole(wish, Some(self.road)).await?,
                };
                let external = wish.internal.port();
                Ok(Grant {
                    grip: Grip::Pinhole(id),
                    external,
                    ip: Some(wish.internal.ip()),
                    lease: Some(lease),
                    age: None,
                })
            }
        }
    }

    /// Renews what was granted.
    pub(crate) async fn renew(&self, port: u16, wish: Wish<'_>, grant: &Grant) -> Result<Grant, GatewayError> {
        self.ask_for(port, Wish { external: grant.external, ..wish }, grant.grip.clone()).await
    }

    /// What the gateway says of a grant. That it does not hold is for sure; an error is not.
    pub(crate) async fn stands(&self, wish: Wish<'_>, grant: &Grant) -> Result<Standing, GatewayError> {
        match &grant.grip {
            // These are asked again instead.
            Grip::Pcp(_) | Grip::NatPmp => Ok(Standing { holds: None, age: None, ip: None }),
            Grip::Upnp => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                let entry = igd.entry(wish.protocol, grant.external).await?;
                let holds = entry.is_some_and(|entry| entry.leads_to(wish.internal));
                let (age, ip) = tokio::join!(igd.uptime(), igd.external_address());
                Ok(Standing { holds: Some(holds), age: age.ok(), ip: ip.ok().flatten() })
            }
            Grip::Pinhole(id) => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                let holds = igd.renew_pinhole(id, wish.lease, Some(self.road)).await.is_ok();
                Ok(Standing { holds: Some(holds), age: None, ip: None })
            }
        }
    }

    /// Gives a grant back.
    pub(crate) async fn release(&self, port: u16, wish: Wish<'_>, grant: &Grant) -> Result<(), GatewayError> {
        match &grant.grip {
            Grip::Pcp(nonce) => {
                let ports = (wish.protocol, wish.internal.port(), 0);
                datagram::map_pcp(&self.road, port, *nonce, ports, Duration::ZERO).await.map(drop)
            }
            // RFC 6886 section 3.4: the external port of a removal is zero.
            Grip::NatPmp => {
                let ports = (wish.protocol, wish.internal.port(), 0);
                datagram::map_natpmp(&self.road, port, ports, Duration::ZERO).await.map(drop)
            }
            Grip::Upnp => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                // Nobody else's entry, should the router have given the port to another computer since.
                match igd.entry(wish.protocol, grant.external).await {
                    Ok(Some(entry)) if entry.client.is_some_and(|client| client != wish.internal.ip()) => Ok(()),
                    _ => igd.delete(wish.protocol, grant.external).await,
                }
            }
            Grip::Pinhole(id) => {
                let igd = self.igd.as_ref().ok_or(GatewayError::Silent)?;
                igd.close_pinhole(id, Some(self.road)).await
            }
        }
    }
}

/// What a gateway says of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `None` where it cannot be asked.
    pub holds: Option<bool>,
    pub age: Option<u64>,
    pub ip: Option<IpAddr>,
}

impl Grant {
    fn from_lease(grip: Grip, lease: &datagram::Lease) -> Self {
        Self {
            grip,
            external: lease.external,
            ip: lease.external_ip,
            lease: Some(lease.lifetime),
            age: Some(lease.epoch.into()),
        }
    }
}

/// A port that is likely free.
fn other_port() -> u16 {
    let mut bytes = [0; 2];
    // Without random numbers it is the first one, which is no fault of consequence.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    20_000 + u16::from_ne_bytes(bytes) % 40_000
}
