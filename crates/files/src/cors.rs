//! `--cors`: pages of any origin may read the files (Fetch standard, CORS protocol).

use doorstep_http::{Request, Response};
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, Method};

/// What a request says that matters for the answer to a preflight.
pub struct Asked {
    preflight: bool,
    private_network: bool,
}

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

impl Asked {
    pub fn of(request: &Request) -> Self {
        let headers = &request.headers;
        Self {
            preflight: request.method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            private_network: headers.contains_key(REQUEST_PRIVATE_NETWORK),
        }
    }
}

/// Lets any origin read the response, whatever it is.
pub fn allow(response: &mut Response, asked: &Asked) {
    let headers = &mut response.headers;
    allow_any(headers);
    if asked.preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        // `*` does not cover Authorization.
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, authorization"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        if asked.private_network {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }
}

/// The part of it that every response has.
pub fn allow_any(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
}
