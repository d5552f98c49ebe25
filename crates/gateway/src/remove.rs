use std::net::SocketAddr;
use std::time::Duration;

use doorstep_model::MappingChange;
use doorstep_proto::gateway::{Protocol, pcp};

use crate::DESCRIPTION;
use crate::error::GatewayError;
use crate::gateway::{Gateway, Grant, Grip, find};
use crate::surroundings::Surroundings;
use crate::upnp::{Wish, is_ours};

/// How a change was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It was there, and is not any more.
    Now,
    /// It was not there, or is somebody else's by now.
    Before,
}

/// Takes back what a [`crate::Mapper`] asked a gateway for, as its journal tells, whether or not that mapper still lives.
/// May be done again.
///
/// # Errors
/// [`GatewayError::NoGateway`] where the gateway is none of this network's; what it says, where it refuses.
pub async fn remove(change: &MappingChange, on: &Surroundings) -> Result<Removed, GatewayError> {
    let gateways = find(on).await;
    let gateway =
        gateways.iter().find(|gateway| gateway.road.gateway == change.gateway).ok_or(GatewayError::NoGateway)?;
    let protocol = if change.protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
    // A gateway removes nothing but what leads to whoever asks: from another address than then, nothing of ours is there.
    let internal = SocketAddr::new(change.internal.ip(), change.internal.port());
    let wish =
        Wish { protocol, internal, external: change.external_port, lease: Duration::ZERO, description: DESCRIPTION };
    let grip = match change.by.as_str() {
        "pcp" => Grip::Pcp(nonce(&change.key).ok_or_else(|| GatewayError::Nonsense("a nonce that is none".into()))?),
        "nat-pmp" => Grip::NatPmp,
        "upnp" if !change.key.is_empty() => Grip::Pinhole(change.key.clone()),
        _ => Grip::Upnp,
    };
    if matches!(grip, Grip::Upnp) && is_elsewhere(gateway, wish).await? {
        return Ok(Removed::Before);
    }
    let grant = Grant { grip, external: change.external_port, ip: None, lease: None, age: None };
    gateway.release(on.port, wish, &grant).await?;
    Ok(Removed::Now)
}

/// Whether the port is not ours any more.
async fn is_elsewhere(gateway: &Gateway, wish: Wish<'_>) -> Result<bool, GatewayError> {
    let entry = gateway.entry(wish.protocol, wish.external).await?;
    Ok(entry.is_none_or(|entry| {
        entry.client.is_some_and(|client| client != wish.internal.ip())
            || !is_ours(&entry.description, wish.description)
    }))
}

fn nonce(hex: &str) -> Option<pcp::Nonce> {
    let mut nonce = pcp::Nonce::default();
    if hex.len() != 2 * nonce.len() {
        return None;
    }
    for (at, byte) in nonce.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(nonce)
}
