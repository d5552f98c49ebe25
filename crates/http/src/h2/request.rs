use std::sync::Arc;

use doorstep_net::ConnInfo;
use doorstep_proto::http1::valid_authority;
use h2::ext::Protocol;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Uri, Version};

use crate::{Body, Captures, Interim, Request, RequestParts, path};

/// The request that a stream's header section stands for, its body still to come.
///
/// `Err` names what is malformed: answered 400 (RFC 9113 section 8.1.1 allows it in place of a reset).
pub(super) fn from_head(head: http::request::Parts, info: &Arc<ConnInfo>) -> Result<Request, &'static str> {
    let mut headers = head.headers;
    let protocol = head.extensions.get::<Protocol>();
    let authority = authority(&head.uri, &headers)?;
    if !headers.contains_key(header::HOST) {
        let host = HeaderValue::from_str(&authority).map_err(|_| "authority")?;
        headers.insert(header::HOST, host);
    }
    join_cookies(&mut headers);
    let connect = head.method == Method::CONNECT;
    let target = match head.uri.path_and_query() {
        Some(target) if target.as_str() == "*" && head.method == Method::OPTIONS => Uri::from_static("*"),
        Some(target) if target.as_str().starts_with('/') => Uri::from(target.clone()),
        None if connect => Uri::from_static("/"),
        _ => return Err("path"),
    };
    let path = if target == "*" { Some("*".to_owned()) } else { path::canonical(target.path()) };
    let upgradable = connect && protocol.is_some();
    if let Some(protocol) = protocol {
        as_upgrade(&mut headers, protocol.as_str())?;
    }
    Ok(Request::from(RequestParts {
        method: if upgradable { Method::GET } else { head.method },
        target: path::one_leading_slash(target),
        path: path.ok_or("path")?,
        authority,
        version: Version::HTTP_2,
        headers,
        body: Body::Empty,
        conn: info.clone(),
        interim: Interim::default(),
        upgradable,
        vouched: crate::Vouched::default(),
        captures: Captures::default(),
        id: None,
    }))
}

fn authority(uri: &Uri, headers: &HeaderMap) -> Result<String, &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| host.to_str().map_err(|_| "Host")).transpose()?;
    if hosts.next().is_some() {
        return Err("more than one Host");
    }
    let named = uri.authority().map(http::uri::Authority::as_str);
    let authority = match (named, host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => return Err("Host differs from :authority"),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err("no authority"),
    };
    if valid_authority(authority) { Ok(authority.to_ascii_lowercase()) } else { Err("authority") }
}

/// HTTP/2 clients may send cookies in several lines; everybody else expects one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// An extended CONNECT (RFC 8441) as the HTTP/1.1 upgrade that it stands for.
fn as_upgrade(headers: &mut HeaderMap, protocol: &str) -> Result<(), &'static str> {
    headers.insert(header::UPGRADE, HeaderValue::from_str(protocol).map_err(|_| ":protocol")?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if protocol.eq_ignore_ascii_case("websocket") {
        // HTTP/2 has no key, and nobody checks the answer to this one: the stream itself proves who accepted.
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("ZG9vcnN0ZXAtaHR0cC0yIQ=="));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str, fields: &[(&'static str, &'static str)]) -> Result<Request, &'static str> {
        let mut request = http::Request::get(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        from_head(request.body(()).unwrap().into_parts().0, &Request::get("/").conn)
    }

    #[test]
    fn authority_and_host() {
        let request = parse("https://Example.com:8443/a?b", &[]).unwrap();
        assert_eq!(
            (request.authority.as_str(), request.header("host")),
            ("example.com:8443", Some("example.com:8443"))
        );
        assert_eq!(parse("/a", &[("host", "a.example")]).unwrap().authority, "a.example");
        assert!(parse("https://a.example/", &[("host", "b.example")]).is_err());
        assert!(parse("https://u@a.example/", &[]).is_err());
        assert!(parse("/a", &[]).is_err());
        assert!(parse("https://a.example/../b", &[]).is_err());
        let double = parse("https://a.example//b/c", &[]).unwrap();
        assert_eq!((double.target.to_string(), double.path.clone()), ("/b/c".to_owned(), "/b/c".to_owned()));
    }

    #[test]
    fn cookies_become_one_line() {
        let request = parse("https://a.example/", &[("cookie", "a=1"), ("cookie", "b=2")]).unwrap();
        assert_eq!(request.header("cookie"), Some("a=1; b=2"));
    }
}
