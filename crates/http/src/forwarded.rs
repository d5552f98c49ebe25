//! What a trusted proxy in front of us says about the client. `doorstep-proxy` drops these fields from every request
//! and writes them anew from the [`Request`], so that whoever is believed here is believed everywhere, and nobody else.
//!
//! `traceparent` (W3C Trace Context) needs no rule: it is passed on as it comes, and none is made, because nobody could
//! look up a trace that doorstep began.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use doorstep_net::TlsInfo;
use doorstep_proto::http1::valid_authority;
use http::HeaderMap;
use http::header::HeaderValue;

use crate::Request;
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::route::TableOptions;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// Makes the request the client's own where it came through a trusted proxy, and names it.
pub(crate) fn receive(options: &TableOptions, request: &mut Request) {
    let trusts = |ip: IpAddr| options.trusted_proxies.iter().any(|net| net.contains(&ip));
    let trusted = request.conn.relayed || !options.trusted_proxies.is_empty() && trusts(request.peer_ip());
    if trusted {
        believe(request, trusts);
    }
    if options.request_ids {
        let given = request.headers.get(X_REQUEST_ID).filter(|_| trusted).and_then(RequestId::given);
        let id = given.unwrap_or_else(RequestId::make);
        request.headers.insert(X_REQUEST_ID, id.value().clone());
        request.id = Some(id);
    }
}

fn believe(request: &mut Request, trusts: impl Fn(IpAddr) -> bool) {
    let client = client(&request.headers, trusts);
    let proto = last(&request.headers, PROTO).map(str::to_ascii_lowercase);
    let host = last(&request.headers, HOST).filter(|host| valid_authority(host)).map(str::to_ascii_lowercase);
    if client.is_none() && proto.is_none() && host.is_none() {
        return;
    }
    let mut conn = (*request.conn).clone();
    if let Some(client) = client {
        conn.peer = SocketAddr::new(client.to_canonical(), 0);
    }
    // The name that the proxy asked for by SNI says nothing about the client's own connection.
    conn.tls = match proto.as_deref() {
        Some("https" | "wss") => Some(TlsInfo::default()),
        Some("http" | "ws") => None,
        _ => conn.tls.map(|_| TlsInfo::default()),
    };
    request.conn = Arc::new(conn);
    if let Some(host) = host {
        if let Ok(value) = HeaderValue::from_str(&host) {
            request.headers.insert(http::header::HOST, value);
        }
        request.authority = host;
    }
}

/// The rightmost address that is not a trusted proxy's: what stands left of it was said by somebody whom nobody vouches
/// for. Where all are trusted, the leftmost.
fn client(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let lines: Vec<&str> = headers.get_all(FOR).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let mut client = None;
    for item in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(ip) = address(item.trim()) else { break };
        client = Some(ip);
        if !trusts(ip) {
            break;
        }
    }
    client
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

/// What our own peer said: proxies add to the right.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(peer: &str, fields: &[(&'static str, &str)]) -> Request {
        let options = TableOptions {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            request_ids: true,
            ..TableOptions::default()
        };
        let mut request = Request::get("/");
        let mut conn = (*request.conn).clone();
        conn.peer = SocketAddr::new(peer.parse().unwrap(), 1);
        request.conn = Arc::new(conn);
        for (name, value) in fields {
            request.headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        receive(&options, &mut request);
        request
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        for (field, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("6.6.6.6, unknown, 10.1.1.1", "10.1.1.1"),
            ("", "10.0.0.1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(received("10.0.0.1", &[(FOR, field)]).peer_ip().to_string(), expected, "{field}");
            assert_eq!(received("192.0.2.1", &[(FOR, field)]).peer_ip().to_string(), "192.0.2.1", "{field}");
        }
        let lines = received("::1", &[(FOR, "6.6.6.6"), (FOR, "203.0.113.9")]);
        assert_eq!(lines.peer_ip().to_string(), "203.0.113.9");
    }

    #[test]
    fn scheme_and_host() {
        let fields = [(PROTO, "https"), (HOST, "Blog.Example.com")];
        let believed = received("10.0.0.1", &fields);
        assert_eq!((believed.scheme(), believed.authority.as_str()), ("https", "blog.example.com"));
        assert_eq!(believed.header("host"), Some("blog.example.com"));
        let stranger = received("192.0.2.1", &fields);
        assert_eq!((stranger.scheme(), stranger.authority.as_str()), ("http", "localhost"));
        assert_eq!(received("10.0.0.1", &[(HOST, "a/b")]).authority, "localhost");
    }

    #[test]
    fn only_trusted_peers_name_requests() {
        let named = [("x-request-id", "abc")];
        assert_eq!(received("10.0.0.1", &named).id.clone().unwrap().as_str(), "abc");
        let stranger = received("192.0.2.1", &named);
        let id = stranger.id.as_ref().unwrap().as_str();
        assert!(id.len() == 32 && stranger.header("x-request-id") == Some(id));
    }
}
