use std::net::IpAddr;
use std::sync::Arc;

use doorstep_http::{BoxFuture, Request, Response, Service};
use http::StatusCode;
use ipnet::IpNet;

use crate::page;

/// Lets only some networks in, and others not.
///
/// This computer's own addresses have no privilege: behind a tunnel or a proxy on this computer every visitor comes
/// from 127.0.0.1, and an exception for it would let the whole internet in. `--allow 127.0.0.0/8` says so explicitly.
/// A check whether an address answers may take the 403 for an answer: it is one of ours.
pub(crate) struct Networks {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    inner: Arc<dyn Service>,
}

impl Networks {
    /// An empty `allow` lets everybody in whom `deny` does not keep out.
    pub(crate) fn new(allow: &[IpNet], deny: &[IpNet], inner: Arc<dyn Service>) -> Self {
        let canonical = |networks: &[IpNet]| networks.iter().copied().map(canonical).collect();
        Self { allow: canonical(allow), deny: canonical(deny), inner }
    }

    fn admits(&self, peer: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&peer));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }
}

impl Service for Networks {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let peer = request.peer_ip();
        if self.admits(peer) {
            return self.inner.call(request);
        }
        let text =
            format!("Your address, {peer}, is not one of those that may come in. Ask whoever shared this to add it.");
        Box::pin(std::future::ready(page::answer(&request, StatusCode::FORBIDDEN, "Not open to you", &text)))
    }
}

/// IPv4 networks written as IPv6 (`::ffff:192.0.2.0/120`) mean the same clients, whose addresses come as IPv4.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(length)) => ipnet::Ipv4Net::new(v4, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Never;

    impl Service for Never {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(std::future::ready(Response::new(StatusCode::OK)))
        }
    }

    fn admitted(allow: &[&str], deny: &[&str], peer: &str) -> bool {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        Networks::new(&parse(allow), &parse(deny), Arc::new(Never)).admits(peer.parse().unwrap())
    }

    #[test]
    fn deny_wins() {
        assert!(admitted(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.0.1"));
        assert!(!admitted(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.0.1"));
        assert!(!admitted(&["10.0.0.0/8"], &[], "11.0.0.1"));
        assert!(admitted(&[], &["10.0.0.0/8"], "11.0.0.1"));
        assert!(admitted(&[], &["10.0.0.0/8"], "2001:db8::1"));
        assert!(!admitted(&[], &["2001:db8::/32"], "2001:db8::1"));
    }

    #[test]
    fn mapped_networks_are_ipv4() {
        assert!(!admitted(&[], &["::ffff:192.0.2.0/120"], "192.0.2.7"));
        assert!(admitted(&[], &["::ffff:192.0.2.0/120"], "192.0.3.7"));
        assert!(admitted(&["::/0"], &[], "2001:db8::1"));
    }
}
