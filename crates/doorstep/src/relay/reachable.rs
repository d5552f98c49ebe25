//! Whether the names that a relay lends lead to it.

use std::net::SocketAddr;
use std::time::Duration;

use doorstep_model::{Blame, Finding, HostPattern, Hostname, Severity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::limits::RELAY_REACHED;

/// What has to be put right in the DNS, if anything: asked of the domain and of a name beneath it that nobody has, by our own
/// question over plain HTTP on `port`, which is answered with `nonce`.
pub async fn look(domain: &Hostname, port: u16, nonce: &str) -> Option<Finding> {
    if doorstep_certs::CertName::from(&HostPattern::Exact(domain.clone())).is_local() {
        return None;
    }
    let beneath = format!("doorstep-looks-{}.{domain}", nonce.get(..8).unwrap_or(nonce));
    for name in [domain.as_str(), &beneath] {
        let wild = name != domain.as_str();
        let addresses = match timeout(RELAY_REACHED, lookup_host((name, port))).await {
            Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        if addresses.is_empty() {
            return Some(unknown(domain, wild));
        }
        if !leads_here(&addresses, name, nonce).await {
            return Some(elsewhere(domain, wild, &addresses));
        }
    }
    None
}

async fn leads_here(addresses: &[SocketAddr], name: &str, nonce: &str) -> bool {
    for address in addresses {
        if timeout(RELAY_REACHED, ask(*address, name, nonce)).await.ok().flatten() == Some(true) {
            return true;
        }
    }
    false
}

async fn ask(address: SocketAddr, name: &str, nonce: &str) -> Option<bool> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /.doorstep/ping/{nonce} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.take(ANSWER).read_to_string(&mut answer).await.ok()?;
    Some(answer.ends_with(nonce))
}

/// Bytes read of an answer to our own question.
const ANSWER: u64 = 4096;

fn unknown(domain: &Hostname, wild: bool) -> Finding {
    let what = match wild {
        false => format!("The DNS knows no {domain}."),
        true => format!("The DNS knows {domain}, but nothing beneath it."),
    };
    finding(domain, wild, what)
}

fn elsewhere(domain: &Hostname, wild: bool, addresses: &[SocketAddr]) -> Finding {
    let name = if wild { format!("*.{domain}") } else { domain.to_string() };
    let mut numbers: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    numbers.dedup();
    finding(domain, wild, format!("{name} leads to {}, where this doorstep did not answer.", numbers.join(", ")))
}

fn finding(domain: &Hostname, wild: bool, what: String) -> Finding {
    let why = match wild {
        true => "Visitors look up names beneath it.",
        false => "Agents and visitors look it up.",
    };
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "relay-dns",
        what,
        why: why.to_owned(),
        fix: format!(
            "Two records where {domain} is kept, each with this computer's public address (AAAA for IPv6): `{domain}. A …` \
             and `*.{domain}. A …`. Ports 80 and 443 must come through its firewall."
        ),
    }
}

/// How long after the start it is looked, so that everything listens.
pub const FIRST: Duration = Duration::from_secs(1);
