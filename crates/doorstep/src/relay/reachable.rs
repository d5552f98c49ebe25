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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorstep_http::limits::Limits;
    use doorstep_http::{Engine, NoObserver, RouteTable, TableOptions};
    use doorstep_net::{Accepting, DrainControl, Quota, accept_loop};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_our_own_answer_counts() {
        let options = TableOptions { beacon: Some("n0nce".to_owned()), ..TableOptions::default() };
        let engine = Engine::new(RouteTable::new(options), Arc::new(NoObserver), Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let (_control, drain) = DrainControl::new();
        tokio::spawn(accept_loop(listener, Accepting::new(Arc::new(engine), Quota::new(16)), drain));
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(leads_here(&[nobody, here], "x.tun.example.com", "n0nce").await);
        assert!(!leads_here(&[here], "x.tun.example.com", "another").await);
        assert!(!leads_here(&[nobody], "x.tun.example.com", "n0nce").await);
    }

    #[tokio::test]
    async fn names_that_only_this_computer_knows_are_not_looked_up() {
        for name in ["localhost", "tun.localhost", "tun.internal"] {
            assert!(look(&name.parse().unwrap(), 80, "n0nce").await.is_none(), "{name}");
        }
    }

    #[test]
    fn says_which_records_are_missing() {
        let domain: Hostname = "tun.example.com".parse().unwrap();
        let told =
            [unknown(&domain, false), unknown(&domain, true), elsewhere(&domain, true, &[([192, 0, 2, 1], 80).into()])];
        assert!(told.iter().all(|finding| finding.fix.contains("`*.tun.example.com. A …`")));
        assert!(told[1].what.contains("nothing beneath") && told[2].what.contains("192.0.2.1"));
    }
}
