//! Tries all addresses of a name, each a little after the one before, in the manner of RFC 8305 (Happy Eyeballs).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

use super::ConnectError;
use crate::limits::{CONNECT_ATTEMPT_DELAY, MAX_ADDRESSES};

/// What `localhost` always means (RFC 6761 section 6.3), whatever the resolver says: development servers bind to either.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Connects to the first address of `host` that answers, of those that are `allowed`. Not bounded in time.
///
/// # Errors
/// Where nothing answers. [`io::ErrorKind::PermissionDenied`] of [`ConnectError::Io`] where no address is allowed.
pub async fn connect_tcp(host: &str, port: u16, allowed: impl Fn(IpAddr) -> bool) -> Result<TcpStream, ConnectError> {
    let mut waiting = addresses(host, port).await?;
    waiting.retain(|address| allowed(address.ip()));
    let Some(first) = waiting.pop_front() else {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "connections to this address are not allowed");
        return Err(ConnectError::Io { address: display(host, port), source });
    };
    let mut attempts = FuturesUnordered::new();
    attempts.push(open(first));
    let mut failure = None;
    loop {
        let outcome = tokio::select! {
            outcome = attempts.next() => outcome,
            () = sleep(CONNECT_ATTEMPT_DELAY), if !waiting.is_empty() => {
                attempts.extend(waiting.pop_front().map(open));
                continue;
            }
        };
        match outcome {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err((_, source))) => {
                // The first failure tells most: it is that of the address the system prefers.
                failure.get_or_insert(source);
                attempts.extend(waiting.pop_front().map(open));
            }
            None => {
                let source = failure.unwrap_or_else(|| io::ErrorKind::NotConnected.into());
                return Err(ConnectError::Io { address: display(host, port), source });
            }
        }
    }
}

/// In the order in which they are tried; at least one.
async fn addresses(host: &str, port: u16) -> Result<VecDeque<SocketAddr>, ConnectError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok([SocketAddr::new(ip, port)].into());
    }
    if bare.eq_ignore_ascii_case("localhost") {
        return Ok(LOOPBACK.map(|ip| SocketAddr::new(ip, port)).into());
    }
    let unresolved = |source| ConnectError::Resolve { host: host.to_owned(), source };
    let found = alternate(lookup_host((bare, port)).await.map_err(unresolved)?);
    if found.is_empty() {
        return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

/// Host and port as in an authority: an IPv6 address in brackets.
pub(super) fn display(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn open(address: SocketAddr) -> Result<TcpStream, (SocketAddr, io::Error)> {
    TcpStream::connect(address).await.map_err(|error| (address, error))
}

/// The resolver's order, but the address families taking turns (RFC 8305 section 4).
fn alternate(found: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    let preferred = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == preferred);
    let mut order = VecDeque::with_capacity(one.len() + other.len());
    while !(one.is_empty() && other.is_empty()) {
        order.extend(one.pop_front());
        order.extend(other.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|text| text.parse().unwrap());
        let order: Vec<String> = alternate(addresses.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }
}
