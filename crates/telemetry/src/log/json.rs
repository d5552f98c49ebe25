use std::borrow::Cow;
use std::net::IpAddr;

use doorstep_http::{Exchange, Kind, Outcome};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::redact::{redact, redact_referer};

/// One line of JSON, as docs/logs.md describes it.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    site: Option<&'a str>,
    client: IpAddr,
    method: &'a str,
    host: &'a str,
    target: Cow<'a, str>,
    version: &'static str,
    tls: bool,
    status: u16,
    duration_ms: f64,
    sent: u64,
    received: u64,
    outcome: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// Adds the request's line.
pub(super) fn add(out: &mut Vec<u8>, exchange: &Exchange) {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let line = Line {
        time: OffsetDateTime::from(exchange.began).format(FORMAT).unwrap_or_default(),
        site: exchange.site.as_deref(),
        client: exchange.client.to_canonical(),
        method: exchange.method.as_str(),
        host: &exchange.host,
        target: redact(&exchange.target),
        version: match exchange.version {
            http::Version::HTTP_10 => "1.0",
            http::Version::HTTP_2 => "2",
            _ => "1.1",
        },
        tls: exchange.tls,
        status: exchange.status.as_u16(),
        duration_ms: (exchange.took.as_secs_f64() * 1_000_000.0).round() / 1000.0,
        sent: exchange.sent,
        received: exchange.received,
        outcome: match exchange.outcome {
            Outcome::Complete => "complete",
            Outcome::ClientGone => "client-gone",
            Outcome::Broken => "broken",
            Outcome::Refused => "refused",
        },
        kind: match exchange.kind {
            Kind::Page | Kind::Beacon => "page",
            Kind::Content => "content",
            Kind::Partial => "partial",
            Kind::Proxied => "proxied",
        },
        request_id: exchange.request_id.as_ref().map(doorstep_http::RequestId::as_str),
        upstream: exchange.upstream.as_deref(),
        referer: exchange.referer.as_deref().map(redact_referer),
        user_agent: exchange.user_agent.as_deref(),
    };
    let start = out.len();
    match serde_json::to_writer(&mut *out, &line) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::samples;

    fn parsed(exchange: &Exchange) -> Value {
        let mut out = Vec::new();
        add(&mut out, exchange);
        let text = String::from_utf8(out).unwrap();
        assert_eq!((text.matches('\n').count(), text.ends_with('\n')), (1, true));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_documented_fields() {
        let mut exchange = samples::exchange("/a?code=x", 206);
        exchange.client = "::ffff:10.0.0.7".parse().unwrap();
        exchange.upstream = Some("10.0.0.5:3000".into());
        let expected = json!({
            "time": "2026-05-04T14:02:10.988Z", "site": "blog.example.com", "client": "10.0.0.7", "method": "GET",
            "host": "blog.example.com", "target": "/a?code=[redacted]", "version": "1.1", "tls": true, "status": 206,
            "duration_ms": 12.0, "sent": 4123, "received": 0, "outcome": "complete", "kind": "page",
            "upstream": "10.0.0.5:3000", "user_agent": "Mozilla/5.0",
        });
        assert_eq!(parsed(&exchange), expected);
        let line = parsed(&exchange);
        let docs = include_str!("../../../../docs/logs.md");
        for field in line.as_object().unwrap().keys() {
            assert!(docs.contains(&format!("| `{field}` |")), "docs/logs.md says nothing of {field}");
        }
    }

    proptest! {
        #[test]
        fn lines_always_parse(host in any::<String>(), agent in any::<String>(), referer in any::<String>(), status in 100u16..1000) {
            let mut exchange = samples::exchange("/", status);
            exchange.host = host.clone().into();
            exchange.user_agent = Some(agent.clone().into());
            exchange.referer = Some(referer.into());
            let line = parsed(&exchange);
            prop_assert_eq!((&line["host"], &line["user_agent"]), (&json!(host), &json!(agent)));
        }
    }
}
