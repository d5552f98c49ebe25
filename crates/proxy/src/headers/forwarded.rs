//! Who asks, by which address: the fields that tell the app, and the ones a client must not set itself.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::OnceLock;

use doorstep_http::Request;
use http::HeaderMap;
use http::header;

/// Whether a field claims who the client is or what it asked for, which only a proxy may say, or would be taken for
/// such a field, or for one that frames the message, by an app that does not tell `-` from `_` (as CGI and WSGI do
/// not). `name` is lower case.
pub fn is_identity_claim(name: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return is_claim(name);
    }
    let plain: String =
        name.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    is_claim(&plain) || super::hop::is_hop_by_hop(&plain) || is_guarded(&plain)
}

fn is_claim(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("x-") else {
        return matches!(
            name,
            "forwarded"
                | "client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "fastly-client-ip"
                | "remote-addr"
                | "remote-user"
                | "front-end-https"
                | "proxy"
        );
    };
    rest.starts_with("forwarded")
        || rest.starts_with("original-")
        || rest.starts_with("remote-")
        || rest.starts_with("authenticated-")
        || matches!(
            rest,
            "real-ip"
                | "client-ip"
                | "cluster-client-ip"
                | "envoy-external-address"
                | "rewrite-url"
                | "host"
                | "host-override"
                | "http-host-override"
                | "scheme"
                | "url-scheme"
                | "proxyuser-ip"
                | "webauth-user"
                | "ssl-client-verify"
                // Next.js skips its middleware, and so its access checks, for it (CVE-2025-29927).
                | "middleware-subrequest"
        )
}

/// Fields whose twins in other spelling could pass for the real one.
fn is_guarded(name: &str) -> bool {
    matches!(
        name,
        "host" | "content-length" | "content-type" | "authorization" | "cookie" | "origin" | "referer" | "expect"
    )
}

/// Writes `X-Forwarded-For`, `-Host`, `-Port`, `-Proto`, `X-Real-IP` and `Forwarded` (RFC 7239); what is
/// said of the host only if `with_host`.
pub fn write_forwarded(out: &mut Vec<u8>, request: &Request, with_host: bool) {
    let ip = request.peer_ip();
    let mut room = [0; IP_TEXT];
    let text = ip_text(ip, &mut room);
    let scheme = request.scheme();
    let host = if with_host { request.authority.as_str() } else { "" };
    // Pieces rather than `write!`: formatting would cost more than all other fields together.
    let mut add = |pieces: &[&str]| pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    add(&["X-Forwarded-For: ", text, "\r\nX-Real-Ip: ", text, "\r\nX-Forwarded-Proto: ", scheme, "\r\n"]);
    if !host.is_empty() {
        add(&["X-Forwarded-Host: ", host, "\r\nX-Forwarded-Port: ", port(host, scheme), "\r\n"]);
    }
    match ip {
        IpAddr::V4(_) => add(&["Forwarded: by=", our_name(), ";for=", text, ";"]),
        IpAddr::V6(_) => add(&["Forwarded: by=", our_name(), ";for=\"[", text, "]\";"]),
    }
    if !host.is_empty() {
        add(&["host=\"", host, "\";"]);
    }
    add(&["proto=", scheme, "\r\n"]);
}

/// Bytes of the longest address: eight groups of four digits, or six and an IPv4 address.
const IP_TEXT: usize = 45;

/// An address as text. Most are IPv4, which is quickly written; formatting it would cost several times as much.
fn ip_text(ip: IpAddr, room: &mut [u8; IP_TEXT]) -> &str {
    let mut left = &mut room[..];
    let mut put = |bytes: &[u8]| {
        if let Some((front, rest)) = std::mem::take(&mut left).split_at_mut_checked(bytes.len()) {
            front.copy_from_slice(bytes);
            left = rest;
        }
    };
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    put(b".");
                }
                let digits = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
                put(digits.get(usize::from(octet < 100) + usize::from(octet < 10)..).unwrap_or_default());
            }
        }
        IpAddr::V6(ip) => put(ip.to_string().as_bytes()),
    }
    let used = IP_TEXT - left.len();
    room.get(..used).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

/// Whether this very process sent the request: it is asked to be its own upstream.
pub fn came_from_us(headers: &HeaderMap) -> bool {
    let ours = our_name().as_bytes();
    headers
        .iter()
        .filter(|(name, _)| *name == header::FORWARDED)
        .any(|(_, value)| value.as_bytes().windows(ours.len()).any(|part| part == ours))
}

/// The port a visitor used.
fn port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let after_host = authority.rfind(']').map_or(authority, |end| authority.get(end..).unwrap_or_default());
    match after_host.rsplit_once(':') {
        Some((_, port)) => port,
        None if scheme == "https" => "443",
        None => "80",
    }
}

/// An obfuscated identifier (RFC 7239 section 6.3) of this process, by which a request that comes back is known.
fn our_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("_doorstep{:016x}", RandomState::new().build_hasher().finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_and_their_twins() {
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x_forwarded_for",
            "x-forwarded_host",
            "x.forwarded.for",
            "x_real_ip",
            "remote_user",
            "content_length",
            "transfer_encoding",
            "x-middleware-subrequest",
            "proxy",
        ] {
            assert!(is_identity_claim(name), "{name}");
        }
        for name in ["accept", "x-requested-with", "x-csrf-token", "my_header", "x_api_key", "cookie", "host"] {
            assert!(!is_identity_claim(name), "{name}");
        }
    }

    #[test]
    fn addresses_as_text() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.130.99", "255.255.255.255", "::", "2001:db8::1"] {
            assert_eq!(ip_text(text.parse().unwrap(), &mut [0; IP_TEXT]), text);
        }
        let longest = "1111:2222:3333:4444:5555:6666:7777:8888";
        assert_eq!(ip_text(longest.parse().unwrap(), &mut [0; IP_TEXT]), longest);
    }

    #[test]
    fn ports() {
        assert_eq!(port("a.local:8080", "http"), "8080");
        assert_eq!(port("a.local", "https"), "443");
        assert_eq!(port("[::1]", "http"), "80");
        assert_eq!(port("[::1]:81", "http"), "81");
    }

    #[test]
    fn v6_addresses_are_quoted() {
        let mut request = Request::get("/");
        let mut conn = (*request.conn).clone();
        conn.peer = "[2001:db8::1]:7".parse().unwrap();
        request.conn = conn.into();
        request.authority = "[::1]:8080".to_owned();
        let mut out = Vec::new();
        write_forwarded(&mut out, &request, true);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(";for=\"[2001:db8::1]\";host=\"[::1]:8080\";proto=http\r\n"), "{text}");
        assert!(text.contains("X-Forwarded-For: 2001:db8::1\r\n") && text.contains("X-Forwarded-Port: 8080\r\n"));
    }
}
