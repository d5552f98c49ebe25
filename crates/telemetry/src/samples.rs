//! Requests for tests.

use std::time::{Duration, SystemTime};

use doorstep_http::{Exchange, Kind, Outcome};

/// A GET of `target` from 192.168.1.40 to `blog.example.com`, over at 14:02:11 UTC.
pub fn exchange(target: &str, status: u16) -> Exchange {
    let took = Duration::from_millis(12);
    Exchange {
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_903_331) - took,
        took,
        client: "192.168.1.40".parse().unwrap(),
        method: http::Method::GET,
        host: "blog.example.com".into(),
        target: target.into(),
        version: http::Version::HTTP_11,
        tls: true,
        status: http::StatusCode::from_u16(status).unwrap(),
        kind: Kind::Page,
        sent: 4123,
        received: 0,
        user_agent: Some("Mozilla/5.0".into()),
        referer: None,
        outcome: Outcome::Complete,
        site: Some("blog.example.com".into()),
        request_id: None,
        upstream: None,
    }
}
