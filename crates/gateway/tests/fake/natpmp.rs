use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use super::{Mapping, Quirks, Shared};

/// NAT-PMP and PCP at one port, as routers have them.
pub async fn serve(socket: UdpSocket, memory: Shared, quirks: Arc<Mutex<Quirks>>) {
    let mut buffer = [0; 1100];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = {
            let (mut memory, quirks) = (memory.lock().unwrap(), quirks.lock().unwrap().clone());
            match buffer[0] {
                0 if quirks.nat_pmp => nat_pmp(&buffer[..length], from, &mut memory, &quirks),
                2 if quirks.pcp => pcp(&buffer[..length], from, &mut memory, &quirks),
                // RFC 6887 section 9: "unsupported version", in the version that is spoken.
                2 if quirks.nat_pmp => Some(vec![0, buffer[1] | 0x80, 0, 1, 0, 0, 0, 0]),
                _ => None,
            }
        };
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

fn nat_pmp(request: &[u8], from: SocketAddr, memory: &mut super::Memory, quirks: &Quirks) -> Option<Vec<u8>> {
    let op = *request.get(1)?;
    memory.heard.push(format!("nat-pmp {op}"));
    let mut answer = vec![0, op | 0x80, 0, quirks.refuses.unwrap_or(0)];
    answer.extend_from_slice(&u32::try_from(memory.uptime).unwrap().to_be_bytes());
    if quirks.refuses.is_some() {
        return Some(answer);
    }
    if op == 0 {
        let ip: std::net::Ipv4Addr = quirks.external.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
        answer.extend_from_slice(&ip.octets());
        return Some(answer);
    }
    let number = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
    let lease = u32::from_be_bytes(request.get(8..12)?.try_into().ok()?);
    let protocol = if op == 1 { "UDP" } else { "TCP" };
    let external = granted(memory, quirks, (protocol, from.ip().to_string(), number(4)), number(6), lease);
    answer.extend_from_slice(&number(4).to_be_bytes());
    answer.extend_from_slice(&external.to_be_bytes());
    answer.extend_from_slice(&lease.to_be_bytes());
    Some(answer)
}

fn pcp(request: &[u8], from: SocketAddr, memory: &mut super::Memory, quirks: &Quirks) -> Option<Vec<u8>> {
    let op = *request.get(1)?;
    memory.heard.push(format!("pcp {op}"));
    let mut answer = request.to_vec();
    answer[1] |= 0x80;
    answer[3] = quirks.refuses.unwrap_or(0);
    answer[8..12].copy_from_slice(&u32::try_from(memory.uptime).unwrap().to_be_bytes());
    answer[12..24].fill(0);
    if op == 1 && quirks.refuses.is_none() {
        let number = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
        let lease = u32::from_be_bytes(request.get(4..8)?.try_into().ok()?);
        let protocol = if request[36] == 17 { "UDP" } else { "TCP" };
        let external = granted(memory, quirks, (protocol, from.ip().to_string(), number(40)), number(42), lease);
        answer[4..8].copy_from_slice(&lease.min(7200).to_be_bytes());
        answer[42..44].copy_from_slice(&external.to_be_bytes());
        let ip: std::net::Ipv4Addr = quirks.external.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
        answer[44..60].copy_from_slice(&ip.to_ipv6_mapped().octets());
    }
    Some(answer)
}

fn granted(
    memory: &mut super::Memory,
    quirks: &Quirks,
    (protocol, client, internal): (&str, String, u16),
    wished: u16,
    lease: u32,
) -> u16 {
    let known =
        memory.mappings.iter().find(|one| one.client == client && one.internal == internal).map(|one| one.external);
    memory.mappings.retain(|one| !(one.client == client && one.internal == internal && one.protocol == protocol));
    let external = quirks.other_port.or(known).unwrap_or(wished);
    if lease > 0 {
        memory.mappings.push(Mapping {
            protocol: protocol.to_owned(),
            external,
            client,
            internal,
            description: String::new(),
            lease,
        });
    }
    external
}
