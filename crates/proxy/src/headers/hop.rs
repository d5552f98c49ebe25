use doorstep_proto::http1::connection_tokens;
use http::HeaderMap;
use http::header::{self, HeaderName};

/// Removes the fields that concern one connection only: the known ones and those that `Connection` names
/// (RFC 9110 section 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = connection_tokens(headers, &header::CONNECTION)
            .filter(|token| !is_usual(token))
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    for name in [header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// Whether a field never leaves the connection it came by. `name` is lower case.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "proxy-authenticate"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Connection options that name no field, or one that is dealt with anyway.
pub fn is_usual(token: &str) -> bool {
    ["close", "keep-alive", "upgrade", "te", "http2-settings"].iter().any(|usual| token.eq_ignore_ascii_case(usual))
}
