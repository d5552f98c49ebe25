use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use doorstep_proto::gateway::ssdp;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::http::split;
use crate::limits::{ANSWERS, SEARCH, SEARCH_AGAIN, SEARCH_FOUND};
use crate::surroundings::{Road, Surroundings};

/// A device that answered, and where it says that its description is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub road: Road,
    pub from: IpAddr,
    pub port: u16,
    pub path: String,
    pub boot_id: Option<u32>,
    /// Hosts at which the description may be, the likeliest first. Only those that are known to be in this network: where
    /// a stranger's answer points to is not asked.
    pub hosts: Vec<IpAddr>,
}

/// Searches on every road at once. Answers of the gateway come first.
pub(super) async fn search(on: &Surroundings) -> Vec<Answer> {
    let each = on.v4().map(|(local, road)| search_on(on, local, road));
    let mut answers: Vec<Answer> = futures_util::future::join_all(each).await.into_iter().flatten().collect();
    answers.sort_by_key(|answer| answer.from != answer.road.gateway);
    answers
}

async fn search_on(on: &Surroundings, local: Ipv4Addr, road: Road) -> Vec<Answer> {
    let Ok(socket) = socket(local) else { return Vec::new() };
    let mut answers: Vec<Answer> = Vec::new();
    let mut end = Instant::now() + SEARCH;
    let mut again = Some(Instant::now());
    let mut buffer = [0; ssdp::LONGEST];
    while answers.len() < ANSWERS {
        if let Some(at) = again.filter(|at| *at <= Instant::now()) {
            again = (at + SEARCH_AGAIN < end).then_some(at + SEARCH_AGAIN).filter(|_| answers.is_empty());
            for target in ssdp::TARGETS {
                // One that cannot be sent is like one that got lost.
                let _ = socket.send_to(ssdp::search(target).as_bytes(), on.search).await;
            }
        }
        match timeout_at(again.unwrap_or(end).min(end), socket.recv_from(&mut buffer)).await {
            Ok(Ok((length, from))) => {
                let found = ssdp::parse(buffer.get(..length).unwrap_or_default());
                if let Some(answer) = found.and_then(|found| answer(&found, from, road))
                    && !answers.contains(&answer)
                {
                    if answer.from == road.gateway {
                        end = end.min(Instant::now() + SEARCH_FOUND);
                    }
                    answers.push(answer);
                }
            }
            // A port that nobody listens on is told as an error of the next call.
            Ok(Err(_)) => {}
            Err(_) if Instant::now() >= end => break,
            Err(_) => {}
        }
    }
    answers
}

fn socket(local: Ipv4Addr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    // The interface is that of the address; bound to it, so that the answer finds its way with several interfaces.
    socket.set_multicast_if_v4(&local)?;
    socket.set_multicast_ttl_v4(2)?;
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Some devices give an address of another interface, or none that exists: then the description is where the answer is
/// from, or at the gateway.
fn answer(found: &ssdp::Found, from: SocketAddr, road: Road) -> Option<Answer> {
    let (host, port, path) = split(&found.location)?;
    let said = host.parse::<IpAddr>().ok();
    let mut hosts: Vec<IpAddr> = said.into_iter().filter(|ip| *ip == from.ip() || *ip == road.gateway).collect();
    for ip in [from.ip(), road.gateway] {
        if !hosts.contains(&ip) {
            hosts.push(ip);
        }
    }
    Some(Answer { road, from: from.ip(), port, path, boot_id: found.boot_id, hosts })
}
