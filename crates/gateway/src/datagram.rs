//! NAT-PMP and PCP, as a client.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorstep_proto::gateway::{DatagramError, Protocol, natpmp, pcp};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::error::GatewayError;
use crate::limits::RETRIES;
use crate::surroundings::Road;

/// What a gateway granted by datagrams.
pub(crate) struct Lease {
    pub external: u16,
    pub external_ip: Option<IpAddr>,
    pub lifetime: Duration,
    pub epoch: u32,
}

/// The gateway's address outside, and its epoch, by NAT-PMP.
pub(crate) async fn external_address(road: &Road, port: u16) -> Result<(IpAddr, u32), GatewayError> {
    match natpmp(road, port, &natpmp::Request::ExternalAddress).await? {
        (natpmp::Answer::ExternalAddress(ip), epoch) => Ok((ip.into(), epoch)),
        (natpmp::Answer::Mapped { .. }, _) => Err(GatewayError::Nonsense("a mapping nobody asked for".into())),
    }
}

/// A mapping by NAT-PMP, new, renewed, or with a `lifetime` of zero removed.
pub(crate) async fn map_natpmp(
    road: &Road,
    port: u16,
    (protocol, internal, external): (Protocol, u16, u16),
    lifetime: Duration,
) -> Result<Lease, GatewayError> {
    let request = natpmp::Request::Map { protocol, internal, external, lifetime: seconds(lifetime) };
    match natpmp(road, port, &request).await? {
        (natpmp::Answer::Mapped { external, lifetime, .. }, epoch) => {
            Ok(Lease { external, external_ip: None, lifetime: Duration::from_secs(lifetime.into()), epoch })
        }
        (natpmp::Answer::ExternalAddress(_), _) => Err(GatewayError::Nonsense("an address nobody asked for".into())),
    }
}

/// The epoch of a gateway that speaks PCP.
pub(crate) async fn announce(road: &Road, port: u16) -> Result<u32, GatewayError> {
    ask(road, port, &pcp::encode_announce(road.local), pcp::decode_announce).await
}

/// A mapping or pinhole by PCP, new, renewed, or with a `lifetime` of zero removed.
pub(crate) async fn map_pcp(
    road: &Road,
    port: u16,
    nonce: pcp::Nonce,
    (protocol, internal, external): (Protocol, u16, u16),
    lifetime: Duration,
) -> Result<Lease, GatewayError> {
    let (client, lifetime) = (road.local, seconds(lifetime));
    let request = pcp::Request { client, nonce, protocol, internal, external, external_ip: None, lifetime };
    let answer = ask(road, port, &pcp::encode(&request), |bytes| pcp::decode(bytes, &request)).await?;
    let mapped = answer.outcome?;
    Ok(Lease {
        external: mapped.external,
        external_ip: mapped.external_ip,
        lifetime: Duration::from_secs(mapped.lifetime.into()),
        epoch: answer.epoch,
    })
}

async fn natpmp(road: &Road, port: u16, request: &natpmp::Request) -> Result<(natpmp::Answer, u32), GatewayError> {
    let answer = ask(road, port, &natpmp::encode(request), |bytes| natpmp::decode(bytes, request)).await?;
    Ok((answer.outcome?, answer.epoch))
}

/// Sends, and again, until an answer comes that is one.
async fn ask<T>(
    road: &Road,
    port: u16,
    request: &[u8],
    read: impl Fn(&[u8]) -> Result<T, DatagramError>,
) -> Result<T, GatewayError> {
    // From the address that is to be mapped: gateways map for nobody else.
    let socket = UdpSocket::bind(SocketAddr::new(road.local, 0)).await?;
    // Connected, so that nobody else's answers are heard, and a closed port is known at once.
    socket.connect(road.to(port)).await?;
    let mut buffer = [0; 1100];
    for wait in RETRIES {
        socket.send(request).await?;
        let until = Instant::now() + wait;
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            match read(buffer.get(..received?).unwrap_or_default()) {
                Ok(answer) => return Ok(answer),
                Err(DatagramError::Version(_)) => return Err(GatewayError::Silent),
                Err(_) => {}
            }
        }
    }
    Err(GatewayError::TimedOut)
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
