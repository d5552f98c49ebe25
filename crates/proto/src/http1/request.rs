use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};

use super::error::HeadError;
use super::fields::{Present, connection_tokens, to_map};
use super::limits::{MAX_FIELDS, MAX_REQUEST_LINE};

/// A request's head, checked: its framing can be read in one way only.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    /// Origin form, or `*`. The authority of an absolute-form target has moved to `authority`.
    pub target: Uri,
    /// Lower case, port kept; empty where HTTP/1.0 has no Host.
    pub authority: String,
    pub version: Version,
    /// As sent, but `Host` agrees with `authority`.
    pub headers: HeaderMap,
    pub framing: BodyFraming,
    /// Whether the client allows another request on the connection (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client said `keep-alive`, so that it may want to know for how long.
    pub asks_to_keep: bool,
    pub expects_continue: bool,
    /// Whether the client offers to switch protocols (RFC 9110 section 7.8).
    pub upgrade: bool,
}

/// How long a message body is (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    None,
    Length(u64),
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

/// Parses a complete head: request line, fields, final empty line.
///
/// # Errors
/// [`HeadError`], which knows the status to answer with. The connection cannot be used any more.
pub fn parse_request(head: &Bytes) -> Result<RequestHead, HeadError> {
    let line_end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    if line_end > MAX_REQUEST_LINE {
        return Err(HeadError::RequestLineTooLong);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed("request line")),
        Err(error) => return Err(explain(error, head.get(..line_end).unwrap_or_default())),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(HeadError::Malformed("request line"));
    };
    // httparse takes runs of spaces; RFC 9112 section 3 has exactly one between the parts.
    if line_end != method.len() + target.len() + " HTTP/1.1 ".len() {
        return Err(HeadError::Malformed("request line"));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Malformed("method"))?;
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let (mut headers, present) = to_map(head, parsed.headers)?;
    let host = host_field(&headers, version)?;
    let (target, authority) = split_target(&method, head.slice_ref(target.as_bytes()), host)?;
    if host.is_some_and(|sent| sent != authority) {
        let value = HeaderValue::from_str(&authority).map_err(|_| HeadError::Malformed("Host"))?;
        headers.insert(header::HOST, value);
    }
    let framing = framing(&headers, present, version)?;
    let mut close = false;
    let mut keep = false;
    let mut upgrade = false;
    if present.has(Present::CONNECTION) {
        for token in connection_tokens(&headers, &header::CONNECTION) {
            close |= token.eq_ignore_ascii_case("close");
            keep |= token.eq_ignore_ascii_case("keep-alive");
            upgrade |= token.eq_ignore_ascii_case("upgrade");
        }
    }
    let http11 = version == Version::HTTP_11;
    Ok(RequestHead {
        expects_continue: http11 && present.has(Present::EXPECT) && expects_continue(&headers)?,
        asks_to_keep: keep,
        upgrade: http11 && upgrade && headers.contains_key(header::UPGRADE),
        keep_alive: !close && (http11 || keep),
        method,
        target,
        authority,
        version,
        headers,
        framing,
    })
}

/// Whether `text` is `host [ ":" port ]` with a plain host name or IP address: no user, no path, no list.
pub fn valid_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, after)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => {
                if after.is_empty() {
                    return true;
                } else {
                    ("v6", after.strip_prefix(':'))
                }
            }
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let host_ok = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let port_ok = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host_ok && port.is_some_and(port_ok)
}

fn host_field(headers: &HeaderMap, version: Version) -> Result<Option<&str>, HeadError> {
    let mut sent = headers.get_all(header::HOST).iter();
    let Some(host) = sent.next() else {
        return if version == Version::HTTP_10 { Ok(None) } else { Err(HeadError::Malformed("no Host")) };
    };
    let host = host.to_str().map_err(|_| HeadError::Malformed("Host"))?;
    if sent.next().is_some() {
        return Err(HeadError::Malformed("more than one Host"));
    }
    if valid_authority(host) { Ok(Some(host)) } else { Err(HeadError::Malformed("Host")) }
}

/// Origin form and authority of a target in any of its four forms (RFC 9112 section 3.2).
fn split_target(method: &Method, target: Bytes, host: Option<&str>) -> Result<(Uri, String), HeadError> {
    const BAD: HeadError = HeadError::Malformed("request target");
    if target.iter().any(|byte| !(0x21..0x7f).contains(byte) || *byte == b'#') {
        return Err(BAD);
    }
    let host = host.unwrap_or("").to_ascii_lowercase();
    if *method == Method::CONNECT {
        let text = std::str::from_utf8(&target).map_err(|_| BAD)?;
        return if valid_authority(text) && text.contains(':') { Ok((Uri::from_static("/"), host)) } else { Err(BAD) };
    }
    if target[..] == *b"*" {
        return if *method == Method::OPTIONS { Ok((Uri::from_static("*"), host)) } else { Err(BAD) };
    }
    let origin_form = target.starts_with(b"/");
    let uri = if origin_form && target.starts_with(b"//") {
        // `Uri` would take `//x/y` for an authority; as a path it is parsed on its own.
        let path = http::uri::PathAndQuery::from_maybe_shared(target).map_err(|_| BAD)?;
        Uri::from(path)
    } else {
        Uri::from_maybe_shared(target).map_err(|_| BAD)?
    };
    if origin_form {
        return Ok((uri, host));
    }
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(BAD) };
    if !(scheme == http::uri::Scheme::HTTP || scheme == http::uri::Scheme::HTTPS)
        || !valid_authority(authority.as_str())
    {
        return Err(BAD);
    }
    let path = match parts.path_and_query {
        None => Uri::from_static("/"),
        // `http://a?b` has an empty path, which origin form has not; it is displayed with a slash.
        Some(target) if target.as_str().starts_with('?') => target.to_string().parse().map_err(|_| BAD)?,
        Some(target) => Uri::from(target),
    };
    // RFC 9112 section 3.2.2: the target's authority counts and Host is ignored.
    Ok((path, authority.as_str().to_ascii_lowercase()))
}

fn framing(headers: &HeaderMap, present: Present, version: Version) -> Result<BodyFraming, HeadError> {
    if !present.has(Present::CONTENT_LENGTH) && !present.has(Present::TRANSFER_ENCODING) {
        return Ok(BodyFraming::None);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(value), None) => Some(parse_length(value.as_bytes()).ok_or(HeadError::Malformed("Content-Length"))?),
        _ => return Err(HeadError::Malformed("more than one Content-Length")),
    };
    if !present.has(Present::TRANSFER_ENCODING) {
        return Ok(match length {
            None => BodyFraming::None,
            Some(0) => BodyFraming::None,
            Some(length) => BodyFraming::Length(length),
        });
    }
    if length.is_some() || version == Version::HTTP_10 {
        return Err(HeadError::Malformed("Transfer-Encoding"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
        (Some(one), None) if one.eq_ignore_ascii_case(b"chunked") => Ok(BodyFraming::Chunked),
        (Some(one), None) if one.to_ascii_lowercase().ends_with(b", chunked") => Err(HeadError::TransferCoding),
        _ => Err(HeadError::Malformed("Transfer-Encoding")),
    }
}

/// Digits only, and few enough for 63 bits.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn expects_continue(headers: &HeaderMap) -> Result<bool, HeadError> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(HeadError::Expectation),
    }
}

fn explain(error: httparse::Error, line: &[u8]) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderName => HeadError::Malformed("field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("field value"),
        // A version of HTTP, but not of ours; anything else is not HTTP at all.
        httparse::Error::Version if is_some_version(line) => HeadError::Version,
        _ => HeadError::Malformed("request line"),
    }
}

fn is_some_version(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let word = words.by_ref().nth(2).unwrap_or_default();
    words.next().is_none()
        && matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RequestHead, HeadError> {
        parse_request(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn an_ordinary_request() {
        let head = parse("GET /a?b HTTP/1.1\r\nHost: Example.com:80\r\nX: 1\r\n\r\n").unwrap();
        assert_eq!((head.target.to_string().as_str(), head.authority.as_str()), ("/a?b", "example.com:80"));
        assert_eq!((head.framing, head.keep_alive, head.upgrade), (BodyFraming::None, true, false));
    }

    #[test]
    fn all_four_target_forms() {
        let absolute = parse("GET http://A.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n").unwrap();
        assert_eq!((absolute.target.path(), absolute.authority.as_str()), ("/x", "a.example"));
        assert_eq!(absolute.headers[header::HOST], "a.example");
        let pathless = parse("GET http://a.example?x HTTP/1.1\r\nHost: b.example\r\n\r\n").unwrap();
        assert_eq!(pathless.target, "/?x");
        let double = parse("GET //evil.example/x HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!((double.target.path(), double.authority.as_str()), ("//evil.example/x", "b"));
        assert!(parse("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n").is_ok());
        assert!(parse("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n").is_ok());
        for bad in
            ["GET *", "GET x", "GET ftp://a/", "GET http://u@a/", "GET /#f", "CONNECT /", "CONNECT b", "GET http:///"]
        {
            assert!(parse(&format!("{bad} HTTP/1.1\r\nHost: b\r\n\r\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: ",
            "Content-Length: 0x1",
            "Content-Length: 9999999999999999999",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding : chunked",
            " Transfer-Encoding: chunked",
            "X: a\r\n b",
            "X: a\0b",
            ": b",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            assert!(parse(&text).is_err(), "{fields:?}");
        }
        assert!(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn statuses() {
        let status = |text: &str| parse(text).unwrap_err().status().as_u16();
        assert_eq!(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
        assert_eq!(status("GET / HTTQ/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(status("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MAX_REQUEST_LINE))), 414);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(MAX_FIELDS))), 431);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nExpect: pizza\r\n\r\n"), 417);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), 501);
        for host in ["", "a b", "a,b", "u@a", "a/b", "a:b", "a:", "a:70000", "[::1", "[zz]", "a\r\nHost: a"] {
            assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{host:?}");
        }
        assert_eq!(status("GET / HTTP/1.1\r\nX: y\r\n\r\n"), 400);
        assert_eq!(status("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    }

    #[test]
    fn persistence() {
        let keeps = |text: &str| parse(text).unwrap().keep_alive;
        assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_request(&Bytes::from(noise));
        }

        #[test]
        fn what_is_accepted_has_one_sane_authority(host in "[ -~]{0,30}") {
            if let Ok(head) = parse(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")) {
                prop_assert!(valid_authority(&head.authority));
            }
        }
    }
}
