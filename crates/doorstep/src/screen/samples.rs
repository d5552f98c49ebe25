//! Events for tests.

use std::time::{Duration, SystemTime};

use doorstep_http::{Exchange, Kind, Outcome};
use doorstep_model::{Blame, Finding, Severity};

/// A GET of `target` from 192.168.1.40, over at 14:02:11 UTC.
pub fn exchange(target: &str, status: u16) -> Exchange {
    let took = Duration::from_millis(12);
    Exchange {
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_777_903_331) - took,
        took,
        client: "192.168.1.40".parse().unwrap(),
        method: http::Method::GET,
        host: "192.168.1.23:8080".into(),
        target: target.into(),
        version: http::Version::HTTP_11,
        tls: false,
        status: http::StatusCode::from_u16(status).unwrap(),
        kind: Kind::Page,
        sent: 4123,
        received: 0,
        user_agent: Some("Mozilla/5.0".into()),
        referer: None,
        outcome: Outcome::Complete,
        site: None,
        request_id: None,
        upstream: None,
    }
}

pub fn finding() -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "django-debug",
        what: "Django shows its debug page to whoever causes an error.".to_owned(),
        why: "It holds settings and source code.".to_owned(),
        fix: "DEBUG = False".to_owned(),
    }
}
