use doorstep_proto::http1::connection_tokens;
use http::HeaderMap;
use http::header::{self, HeaderName};

/// Removes the fields that concern one connection only: the known ones and those that `Connection` names
/// (RFC 9110 section 7.6.1).
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut found = [false; HOP_BY_HOP.len()];
    for name in headers.keys() {
        for (found, own) in found.iter_mut().zip(&HOP_BY_HOP) {
            *found |= name == own;
        }
    }
    if found[0] {
        let named: Vec<HeaderName> = connection_tokens(headers, &header::CONNECTION)
            .filter(|token| !is_usual(token))
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    // Looked for in one go above: most of them are not there, and each search costs as much as reading a field.
    for (name, _) in HOP_BY_HOP.iter().zip(found).filter(|(_, found)| *found) {
        headers.remove(name);
    }
}

/// What [`strip_hop_by_hop`] removes by itself; `Connection` is first.
static HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

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
