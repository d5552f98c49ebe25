use doorstep_http::Request;
use doorstep_proto::http1::{connection_tokens, write_decimal, write_field};
use http::header::{self, HeaderName};
use http::{HeaderValue, Method};

use super::forwarded::{is_identity_claim, write_forwarded};
use super::hop::{is_hop_by_hop, is_usual};
use super::origin::{Origins, Presented};
use crate::client::UploadFraming;

/// How a request is put to the app.
pub struct HeadPlan<'a> {
    pub origins: &'a Origins,
    /// The `Host` for the app; its own, or the visitor's.
    pub host: &'a str,
    /// Whether addresses are translated, so that the app sees a visitor of its own address.
    pub translate: bool,
    /// Whether the app compares `Origin` with `X-Forwarded-Host`: the visitor's `Origin` is right for it then.
    pub keep_origin: bool,
    /// Whether the app must not be told the visitor's host.
    pub hide_host: bool,
    pub framing: UploadFraming,
    /// Whether the body waits for `100 Continue`.
    pub expect: bool,
    /// Protocols that the client offers to switch to.
    pub upgrade: Option<&'a str>,
}

/// Marks a call of one of Next.js's server actions.
pub const NEXT_ACTION: HeaderName = HeaderName::from_static("next-action");

/// Writes the request's head for the app: request line, fields, empty line.
pub fn write_head(out: &mut Vec<u8>, request: &Request, plan: &HeadPlan<'_>) {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    let target = request.target.path_and_query().map_or("/", |target| target.as_str());
    if target != "*" {
        out.extend_from_slice(plan.origins.base_path().as_bytes());
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, &header::HOST, plan.host.as_bytes());
    let nominated = nominated(request);
    let (mut cookies, mut transfer) = (false, false);
    for (name, value) in &request.headers {
        cookies |= name == header::COOKIE;
        transfer |= name == header::TE;
        if is_rewritten(name) || is_hop_by_hop(name.as_str()) || is_identity_claim(name.as_str()) {
            continue;
        }
        if nominated.contains(name) || request.vouched.shadows(name) {
            continue;
        }
        if plan.translate && (name == header::ORIGIN || name == header::REFERER) {
            write_origin(out, name, value, request, plan);
        } else {
            write_field(out, name, value.as_bytes());
        }
    }
    for (name, value) in &request.vouched.headers {
        if !is_rewritten(name) && !is_hop_by_hop(name.as_str()) {
            write_field(out, name, value.as_bytes());
        }
    }
    if cookies {
        write_cookies(out, request);
    }
    write_forwarded(out, request, !plan.hide_host);
    write_framing(out, request, plan);
    write_connection(out, transfer && takes_trailers(request), plan);
    out.extend_from_slice(b"\r\n");
}

/// The protocols a client offers to switch to, those left out that would let it speak past us: HTTP itself.
pub fn offered_protocols(request: &Request) -> Option<String> {
    if !request.upgradable {
        return None;
    }
    let offered: Vec<&str> = connection_tokens(&request.headers, &header::UPGRADE)
        .filter(|token| {
            let name = token.split('/').next().unwrap_or_default();
            !["h2c", "h2", "http", "tls"].iter().any(|banned| name.eq_ignore_ascii_case(banned))
        })
        .collect();
    (!offered.is_empty()).then(|| offered.join(", "))
}

/// Fields that are written afresh, each in its place.
fn is_rewritten(name: &HeaderName) -> bool {
    name == header::HOST
        || name == header::CONTENT_LENGTH
        || name == header::COOKIE
        || name == header::EXPECT
        || name == header::MAX_FORWARDS
}

/// Fields that the client's `Connection` declares to be of that connection only.
fn nominated(request: &Request) -> Vec<HeaderName> {
    if !request.headers.keys().any(|name| name == header::CONNECTION) {
        return Vec::new();
    }
    connection_tokens(&request.headers, &header::CONNECTION)
        .filter(|token| !is_usual(token))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect()
}

/// Apps compare `Origin` and `Referer` with their own address, against cross-site request forgery.
fn write_origin(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue, request: &Request, plan: &HeadPlan<'_>) {
    let presented = value.to_str().map_or(Presented::Foreign, |text| plan.origins.present(text, request));
    match presented {
        Presented::Own(own) if !plan.keep_origin => write_field(out, name, own.as_bytes()),
        Presented::Own(_) | Presented::Foreign => write_field(out, name, value.as_bytes()),
        // RFC 6454 section 7.3 has `null` for an origin that is not to be told.
        Presented::Disguised if name == header::ORIGIN => write_field(out, name, b"null"),
        Presented::Disguised => {}
    }
}

/// HTTP/2 clients may send one cookie a field (RFC 9113 section 8.2.3); HTTP/1.1 has one field for all.
fn write_cookies(out: &mut Vec<u8>, request: &Request) {
    let mut cookies = request.headers.get_all(header::COOKIE).iter();
    let Some(first) = cookies.next() else { return };
    out.extend_from_slice(b"Cookie: ");
    out.extend_from_slice(first.as_bytes());
    for cookie in cookies {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(cookie.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_framing(out: &mut Vec<u8>, request: &Request, plan: &HeadPlan<'_>) {
    match plan.framing {
        UploadFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        UploadFraming::Chunked => write_field(out, &header::TRANSFER_ENCODING, b"chunked"),
        // RFC 9110 section 8.6: methods that usually have a body say that there is none.
        UploadFraming::None if [Method::POST, Method::PUT, Method::PATCH].contains(&request.method) => {
            write_field(out, &header::CONTENT_LENGTH, b"0");
        }
        UploadFraming::None => {}
    }
    if plan.expect {
        write_field(out, &header::EXPECT, b"100-continue");
    }
}

fn takes_trailers(request: &Request) -> bool {
    connection_tokens(&request.headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

fn write_connection(out: &mut Vec<u8>, trailers: bool, plan: &HeadPlan<'_>) {
    if trailers {
        write_field(out, &header::TE, b"trailers");
    }
    match (plan.upgrade, trailers) {
        (Some(protocols), trailers) => {
            write_field(out, &header::UPGRADE, protocols.as_bytes());
            write_field(out, &header::CONNECTION, if trailers { b"Upgrade, TE" } else { b"Upgrade" });
        }
        (None, true) => write_field(out, &header::CONNECTION, b"TE"),
        (None, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::tests::{upstream, visitor};
    use super::*;

    fn head(request: &Request, change: impl FnOnce(&mut HeadPlan<'_>)) -> String {
        let origins = Origins::new(&upstream("http://localhost:8000/base"));
        let mut plan = HeadPlan {
            origins: &origins,
            host: "localhost:8000",
            translate: true,
            keep_origin: false,
            hide_host: false,
            framing: UploadFraming::None,
            expect: false,
            upgrade: None,
        };
        change(&mut plan);
        let mut out = Vec::new();
        write_head(&mut out, request, &plan);
        String::from_utf8(out).unwrap()
    }

    fn with(fields: &[(&'static str, &'static str)]) -> Request {
        let mut request = visitor("my-laptop.local:8080", false);
        request.target = "/a%20b?c=d".parse().unwrap();
        for (name, value) in fields {
            request.headers.append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn an_ordinary_request() {
        let text = head(&with(&[("accept", "*/*"), ("host", "my-laptop.local:8080")]), |_| {});
        assert!(text.starts_with("GET /base/a%20b?c=d HTTP/1.1\r\nHost: localhost:8000\r\nAccept: */*\r\n"), "{text}");
        assert!(text.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"));
        assert!(text.contains("\r\nX-Forwarded-Host: my-laptop.local:8080\r\n"));
        assert!(text.contains("\r\nX-Forwarded-Proto: http\r\n") && text.contains("\r\nX-Forwarded-Port: 8080\r\n"));
        assert!(text.ends_with("\r\n\r\n") && !text.contains("Content-Length"));
        assert_eq!(text.matches("\r\nHost:").count(), 1);
    }

    #[test]
    fn claims_and_hop_by_hop_fields_stay_behind() {
        let text = head(
            &with(&[
                ("x-forwarded-for", "6.6.6.6"),
                ("x_forwarded_for", "6.6.6.6"),
                ("forwarded", "for=6.6.6.6"),
                ("x-real-ip", "6.6.6.6"),
                ("connection", "close, X-Secret, x-forwarded-for, X-Forwarded-Host"),
                ("x-secret", "6.6.6.6"),
                ("keep-alive", "6.6.6.6"),
                ("transfer-encoding", "chunked"),
                ("te", "trailers, deflate"),
                ("upgrade", "h2c"),
                ("x-kept", "1"),
            ]),
            |_| {},
        );
        assert!(!text.contains("6.6.6.6") && !text.contains("h2c") && !text.contains("Transfer-Encoding"), "{text}");
        assert!(
            text.contains("\r\nX-Kept: 1\r\n") && text.contains("\r\nTe: trailers\r\nConnection: TE\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"), "Connection must not strip ours: {text}");
        assert!(text.contains("\r\nX-Forwarded-Host: my-laptop.local:8080\r\n"), "{text}");
    }

    #[test]
    fn what_a_guard_vouches_for_stands_alone() {
        let mut request = with(&[
            ("x-remote-user", "6.6.6.6"),
            ("x_remote_user", "6.6.6.6"),
            ("groups", "6.6.6.6"),
            ("gro_ups", "1"),
            ("connection", "X-Remote-User, groups"),
        ]);
        let (user, groups) = (HeaderName::from_static("x-remote-user"), HeaderName::from_static("groups"));
        request.vouched.set(user, HeaderValue::from_static("ann"));
        request.vouched.set(groups, HeaderValue::from_static("staff"));
        let text = head(&request, |_| {});
        assert!(!text.contains("6.6.6.6") && text.contains("\r\nX-Remote-User: ann\r\n"), "{text}");
        assert!(text.contains("\r\nGroups: staff\r\n") && text.contains("\r\nGro_ups: 1\r\n"), "{text}");
    }

    #[test]
    fn origins_and_referers() {
        let own = with(&[("origin", "http://my-laptop.local:8080"), ("referer", "http://my-laptop.local:8080/form")]);
        let text = head(&own, |_| {});
        assert!(text.contains("\r\nOrigin: http://localhost:8000\r\n"), "{text}");
        assert!(text.contains("\r\nReferer: http://localhost:8000/base/form\r\n"), "{text}");
        assert!(head(&own, |plan| plan.keep_origin = true).contains("\r\nOrigin: http://my-laptop.local:8080\r\n"));
        assert!(head(&own, |plan| plan.translate = false).contains("\r\nOrigin: http://my-laptop.local:8080\r\n"));
        let foreign = head(&with(&[("origin", "http://evil.example"), ("referer", "http://evil.example/")]), |_| {});
        assert!(foreign.contains("\r\nOrigin: http://evil.example\r\n"), "{foreign}");
        let disguised = with(&[("origin", "http://localhost:8000"), ("referer", "http://localhost:8000/x")]);
        let text = head(&disguised, |_| {});
        assert!(text.contains("\r\nOrigin: null\r\n") && !text.contains("Referer"), "{text}");
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        let text = head(&with(&[("cookie", "a=1"), ("cookie", "b=2")]), |_| {});
        assert!(text.contains("\r\nCookie: a=1; b=2\r\n"), "{text}");
    }

    #[test]
    fn framing_is_written_afresh() {
        let mut request = with(&[("content-length", "99"), ("expect", "100-continue")]);
        request.method = Method::POST;
        assert!(head(&request, |_| {}).contains("\r\nContent-Length: 0\r\n"));
        let text = head(&request, |plan| plan.framing = UploadFraming::Chunked);
        assert!(
            text.contains("\r\nTransfer-Encoding: chunked\r\n")
                && !text.contains("\r\nContent-Length")
                && !text.contains("\r\nExpect")
        );
        let text = head(&request, |plan| (plan.framing, plan.expect) = (UploadFraming::Length(5), true));
        assert!(text.contains("\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"), "{text}");
    }

    #[test]
    fn only_protocols_other_than_http_are_offered() {
        let mut request = with(&[("upgrade", "h2c, websocket"), ("upgrade", "TLS/1.0, mystery/1")]);
        assert_eq!(offered_protocols(&request), None, "the client cannot switch");
        request.upgradable = true;
        assert_eq!(offered_protocols(&request).as_deref(), Some("websocket, mystery/1"));
        let text = head(&request, |plan| plan.upgrade = Some("websocket"));
        assert!(text.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"), "{text}");
    }

    #[test]
    fn options_of_the_server_itself() {
        let mut request = with(&[]);
        request.method = Method::OPTIONS;
        request.target = "*".parse().unwrap();
        assert!(head(&request, |_| {}).starts_with("OPTIONS * HTTP/1.1\r\n"));
    }
}
