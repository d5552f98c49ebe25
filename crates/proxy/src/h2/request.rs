use bytes::Bytes;
use doorstep_http::Request;
use doorstep_model::Upstream;
use doorstep_proto::http1::parse_fields;
use http::header::{self, HeaderMap};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version};

use crate::headers::{HeadPlan, write_head};
use crate::limits;

/// The request's head for the app. Its fields are those of HTTP/1.1, written by the very same rules, but for those that
/// say what frames say here (RFC 9113 section 8.2.2).
pub fn request_head(request: &Request, plan: &HeadPlan<'_>, upstream: &Upstream) -> Option<http::Request<()>> {
    let mut text = Vec::with_capacity(1024);
    write_head(&mut text, request, plan);
    let line = text.windows(2).position(|two| two == b"\r\n")?;
    let target = text.get(request.method.as_str().len() + 1..line)?.strip_suffix(b" HTTP/1.1")?;
    let target = PathAndQuery::try_from(target).ok()?;
    let mut fields = parse_fields(&Bytes::from(text).slice(line + 2..), limits::H2_FIELDS).ok()?;
    let authority = fields.remove(header::HOST)?;
    strip(&mut fields);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if upstream.tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(authority.as_bytes()).ok()?);
    uri.path_and_query = Some(target);
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = Uri::from_parts(uri).ok()?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = fields;
    Some(head)
}

fn strip(fields: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT] {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::client::UploadFraming;
    use crate::headers::Origins;
    use crate::headers::tests::upstream;

    #[test]
    fn frames_say_what_fields_said() {
        let upstream = upstream("https://app.example:8443/base");
        let origins = Origins::new(&upstream);
        let mut request = Request::get("/a%20b?c=d");
        for (name, value) in [("te", "trailers"), ("connection", "x-mine"), ("x-mine", "1"), ("grpc-timeout", "1S")] {
            request.headers.append(name, HeaderValue::from_static(value));
        }
        let plan = HeadPlan {
            origins: &origins,
            host: "visitor.example",
            translate: false,
            keep_origin: false,
            hide_host: false,
            framing: UploadFraming::Chunked,
            expect: true,
            upgrade: Some("websocket"),
        };
        let head = request_head(&request, &plan, &upstream).unwrap();
        assert_eq!(head.uri(), "https://visitor.example/base/a%20b?c=d");
        let fields = head.headers();
        assert_eq!((&fields["te"], &fields["grpc-timeout"]), (&"trailers".parse().unwrap(), &"1S".parse().unwrap()));
        for name in ["host", "connection", "transfer-encoding", "upgrade", "expect", "x-mine"] {
            assert!(!fields.contains_key(name), "{name}");
        }
        assert_eq!(fields["x-forwarded-for"], "127.0.0.1");
    }
}
