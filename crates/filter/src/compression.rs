//! Which responses are compressed. How it is done is in [`crate::compressed`].
//!
//! Compression tells the length of what is secret to whoever can make a page say back what they chose (BREACH). Such an
//! attacker sends their guesses from a page of their own in the visitor's browser, so answers to requests that another
//! site caused and that carry credentials are left as they are.

use doorstep_http::coding::{Accepted, Coding};
use doorstep_http::{Body, Kind, Request, Response};
use doorstep_model::spec;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::FilterError;
use crate::compressed::{self, Compressed};
use crate::headers::add_vary;

/// [`spec::Compression`] made ready.
pub(crate) struct Compression {
    codings: Vec<Coding>,
    min_bytes: u64,
}

/// What the request has to do with it.
pub(crate) struct Wanted {
    coding: Option<Coding>,
    head: bool,
}

impl Compression {
    pub(crate) fn new(compression: &spec::Compression) -> Result<Self, FilterError> {
        let coding = |name: &String| Coding::named(name).ok_or_else(|| FilterError::Coding(name.clone()));
        let codings = compression.codings.iter().map(coding).collect::<Result<_, _>>()?;
        Ok(Self { codings, min_bytes: compression.min_bytes })
    }

    pub(crate) fn wanted(&self, request: &Request) -> Wanted {
        let coding = Accepted::of(&request.headers).best(&self.codings).filter(|_| !may_be_probed(request));
        Wanted { coding, head: request.method == Method::HEAD }
    }

    pub(crate) fn apply(&self, response: &mut Response, wanted: &Wanted) {
        if !is_open(response) || !is_compressible(&response.headers) {
            return;
        }
        let length = if wanted.head { announced(&response.headers) } else { response.body.len() };
        if length.is_some_and(|length| length < self.min_bytes.max(1)) {
            return;
        }
        add_vary(&mut response.headers, "Accept-Encoding");
        let Some(coding) = wanted.coding else { return };
        if wanted.head {
            // What GET would say.
            return describe(&mut response.headers, coding);
        }
        let body = std::mem::replace(&mut response.body, Body::Empty);
        match compress(body, coding) {
            Ok(body) => {
                response.body = body;
                describe(&mut response.headers, coding);
            }
            Err(body) => response.body = body,
        }
    }
}

/// Gives the body back where compressing gains nothing or all encoders are busy.
fn compress(body: Body, coding: Coding) -> Result<Body, Body> {
    match body {
        Body::Full(bytes) if bytes.len() <= crate::limits::COMPRESS_STEP => match compressed::at_once(coding, &bytes) {
            Some(smaller) if smaller.len() < bytes.len() => Ok(Body::Full(smaller)),
            _ => Err(Body::Full(bytes)),
        },
        body => Compressed::begin(body, coding).map(Body::stream),
    }
}

/// Whether another site may be guessing at what this visitor sees.
fn may_be_probed(request: &Request) -> bool {
    request.header("sec-fetch-site").is_some_and(|site| site == "cross-site")
        && (request.headers.contains_key(header::COOKIE) || request.headers.contains_key(header::AUTHORIZATION))
}

/// Whether the body is there, whole, and nobody has decided about its coding.
fn is_open(response: &Response) -> bool {
    let status = response.status;
    let whole = !status.is_informational()
        && ![StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED]
            .contains(&status);
    // The file service has its own way of compressing.
    let foreign = matches!(response.kind, Kind::Proxied | Kind::Page) && !matches!(response.body, Body::File(_));
    let transform = !response.headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|one| one.trim().eq_ignore_ascii_case("no-transform")))
    });
    let plain = !response.headers.contains_key(header::CONTENT_ENCODING)
        && !response.headers.contains_key(header::CONTENT_RANGE);
    whole && foreign && transform && plain
}

/// Texts, and what is text by another name. An event stream is made of small events that must not wait.
fn is_compressible(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "text/event-stream" {
        return false;
    }
    media.starts_with("text/")
        || media.ends_with("+json")
        || media.ends_with("+xml")
        || matches!(
            media.as_str(),
            "application/json"
                | "application/javascript"
                | "application/x-javascript"
                | "application/xml"
                | "application/wasm"
                | "application/manifest+json"
                | "application/x-ndjson"
                | "application/rtf"
                | "application/vnd.ms-fontobject"
                | "application/x-font-ttf"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
                | "image/x-icon"
        )
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The same representation in other bytes (RFC 9110 section 8.8.1): a strong validator would be wrong, and so would be
/// what counts or sums up its bytes.
fn describe(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    for name in ["content-length", "accept-ranges", "content-md5", "content-digest", "digest"] {
        headers.remove(HeaderName::from_static(name));
    }
    let strong = headers.get(header::ETAG).map(HeaderValue::as_bytes).filter(|tag| tag.starts_with(b"\""));
    if let Some(weak) = strong.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()) {
        headers.insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(request: &[(&'static str, &'static str)], response: &[(&'static str, &'static str)]) -> Response {
        let spec = spec::Compression { codings: vec!["zstd".to_owned(), "gzip".to_owned()], min_bytes: 100 };
        let compression = Compression::new(&spec).unwrap();
        let mut asked = Request::get("/");
        for (name, value) in request {
            asked.headers.append(*name, HeaderValue::from_static(value));
        }
        let mut answer = Response::new(StatusCode::OK).with_kind(Kind::Proxied).with_body("text ".repeat(1000));
        for (name, value) in response {
            answer.headers.append(*name, HeaderValue::from_static(value));
        }
        compression.apply(&mut answer, &compression.wanted(&asked));
        answer
    }

    #[test]
    fn what_is_compressed_and_what_is_not() {
        let gzip = &[("accept-encoding", "gzip")][..];
        let html = ("content-type", "text/html; charset=utf-8");
        for (request, response, expected) in [
            (gzip, &[html][..], Some("gzip")),
            (&[("accept-encoding", "gzip, zstd, br")], &[html], Some("zstd")),
            (&[("accept-encoding", "br")], &[html], None),
            (&[], &[html], None),
            (gzip, &[("content-type", "image/png")], None),
            (gzip, &[], None),
            (gzip, &[("content-type", "application/problem+json")], Some("gzip")),
            (gzip, &[("content-type", "text/event-stream")], None),
            (gzip, &[html, ("content-encoding", "br")], Some("br")),
            (gzip, &[html, ("cache-control", "max-age=1, no-transform")], None),
            (gzip, &[html, ("content-range", "bytes 0-1/2")], None),
            (&[("accept-encoding", "gzip"), ("sec-fetch-site", "cross-site")], &[html], Some("gzip")),
            (&[("accept-encoding", "gzip"), ("sec-fetch-site", "cross-site"), ("cookie", "a=1")], &[html], None),
            (
                &[("accept-encoding", "gzip"), ("sec-fetch-site", "same-origin"), ("cookie", "a=1")],
                &[html],
                Some("gzip"),
            ),
        ] {
            let answer = compressed(request, response);
            let coding = answer.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap());
            assert_eq!(coding, expected, "{request:?} {response:?}");
        }
    }

    #[test]
    fn what_it_says_of_itself() {
        let html = ("content-type", "text/html");
        let fields = [html, ("etag", "\"1\""), ("content-digest", "x"), ("accept-ranges", "bytes")];
        let answer = compressed(&[("accept-encoding", "gzip")], &fields);
        assert_eq!(
            (&answer.headers["etag"], &answer.headers["vary"]),
            (&HeaderValue::from_static("W/\"1\""), &HeaderValue::from_static("Accept-Encoding"))
        );
        assert!(!answer.headers.contains_key("content-digest") && !answer.headers.contains_key("accept-ranges"));
        let plain = compressed(&[], &fields);
        assert_eq!(
            (&plain.headers["etag"], &plain.headers["vary"]),
            (&HeaderValue::from_static("\"1\""), &HeaderValue::from_static("Accept-Encoding"))
        );
    }
}
