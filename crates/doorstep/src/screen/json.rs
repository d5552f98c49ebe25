//! `--json`: one object per line. The format is promised in `docs/json-events.md`.

use std::time::{Duration, SystemTime};

use doorstep_http::{Exchange, Outcome, Transfer};
use doorstep_model::Finding;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::story::{Address, App, Reason, Sharing, Summary, Tunnel};
use crate::exit::Failure;
use crate::lend::{State, seconds_until};

pub fn sharing(sharing: &Sharing) -> Value {
    let mut event = json!({
        "event": "sharing",
        "target": sharing.target,
        "kind": sharing.kind,
        "title": sharing.title,
        "listen": sharing.listen,
        "pid": std::process::id(),
    });
    if sharing.kind.is_web() {
        event["scheme"] = json!(sharing.scheme);
        event["port"] = json!(sharing.port);
        event["url"] = json!(sharing.url());
    }
    if let Some((user, password)) = &sharing.credentials {
        event["user"] = json!(user);
        event["password"] = json!(password);
    }
    if let Some(fingerprint) = &sharing.fingerprint {
        event["fingerprint"] = json!(fingerprint);
    }
    event
}

pub fn app(app: &App) -> Value {
    json!({ "event": "app", "name": app.name, "version": app.version, "debug": app.debug })
}

pub fn address(address: &Address) -> Value {
    let mut event = json!({ "event": "address", "url": address.url, "scope": address.scope });
    if let Some(interface) = &address.interface {
        event["interface"] = json!(interface);
    }
    event
}

pub fn tunnel(tunnel: &Tunnel) -> Value {
    let mut event = json!({ "event": "tunnel", "via": tunnel.via });
    match &tunnel.state {
        None => event["state"] = json!("standby"),
        Some(State::Connecting) => event["state"] = json!("connecting"),
        Some(State::Up { name }) => {
            event["state"] = json!("up");
            event["name"] = json!(name);
        }
        Some(State::Waiting { why, until }) => {
            event["state"] = json!("waiting");
            event["why"] = json!(why);
            event["again_in_seconds"] = json!(seconds_until(*until));
        }
        Some(State::Stopped { why, fix }) => {
            event["state"] = json!("stopped");
            event["why"] = json!(why);
            event["fix"] = json!(fix);
        }
    }
    event
}

/// An address no longer leads here.
pub fn gone(url: &str) -> Value {
    json!({ "event": "address-gone", "url": url })
}

pub fn request(exchange: &Exchange) -> Value {
    let mut event = json!({
        "event": "request",
        "client": exchange.client.to_canonical(),
        "method": exchange.method.as_str(),
        "host": exchange.host,
        "target": exchange.target,
        "version": version(exchange.version),
        "tls": exchange.tls,
        "status": exchange.status.as_u16(),
        "duration_ms": ms(exchange.took),
        "sent": exchange.sent,
        "received": exchange.received,
        "outcome": match exchange.outcome {
            Outcome::Complete => "complete",
            Outcome::ClientGone => "client-gone",
            Outcome::Broken => "broken",
            Outcome::Refused => "refused",
        },
        "kind": match exchange.kind {
            doorstep_http::Kind::Page | doorstep_http::Kind::Beacon => "page",
            doorstep_http::Kind::Content => "content",
            doorstep_http::Kind::Partial => "partial",
            doorstep_http::Kind::Proxied => "proxied",
        },
    });
    if let Some(agent) = &exchange.user_agent {
        event["user_agent"] = json!(agent);
    }
    if let Some(referer) = &exchange.referer {
        event["referer"] = json!(referer);
    }
    event
}

pub fn transfer(transfer: &Transfer) -> Value {
    use std::sync::atomic::Ordering::Relaxed;
    json!({
        "event": "transfer",
        "client": transfer.client.to_canonical(),
        "target": transfer.target,
        "moved": transfer.moved.load(Relaxed),
        "total": transfer.total,
        "done": transfer.done.load(Relaxed),
    })
}

pub fn warning(finding: &Finding) -> Value {
    let mut event = json!(finding);
    event["event"] = json!("warning");
    event
}

pub fn stopping(reason: Reason, open: usize) -> Value {
    json!({ "event": "stopping", "reason": reason, "open": open })
}

pub fn summary(summary: &Summary) -> Value {
    json!({
        "event": "summary",
        "reason": summary.reason,
        "visitors": summary.visitors,
        "requests": summary.requests,
        "sent": summary.sent,
        "received": summary.received,
        "duration_ms": ms(summary.duration),
        "unseen": summary.unseen,
        "cut": summary.cut,
    })
}

pub fn error(failure: &Failure) -> Value {
    json!({ "event": "error", "code": failure.code as u8, "what": failure.what, "why": failure.why, "fix": failure.fix })
}

/// The line for `event`, its time added.
pub fn line(mut event: Value, at: SystemTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::from(at).format(FORMAT).unwrap_or_default();
    event["time"] = Value::String(time);
    event.to_string()
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::samples;

    #[test]
    fn a_request_is_one_line_with_the_documented_fields() {
        let mut exchange = samples::exchange("/a\"b", 206);
        exchange.client = "::ffff:10.0.0.7".parse().unwrap();
        let at = exchange.began + exchange.took;
        let text = line(request(&exchange), at);
        assert!(!text.contains('\n'));
        let event: Value = serde_json::from_str(&text).unwrap();
        for (field, value) in [
            ("event", json!("request")),
            ("time", json!("2026-05-04T14:02:11.000Z")),
            ("client", json!("10.0.0.7")),
            ("method", json!("GET")),
            ("target", json!("/a\"b")),
            ("version", json!("1.1")),
            ("status", json!(206)),
            ("duration_ms", json!(12.0)),
            ("sent", json!(4123)),
            ("outcome", json!("complete")),
            ("kind", json!("page")),
            ("user_agent", json!("Mozilla/5.0")),
        ] {
            assert_eq!(event[field], value, "{field}");
        }
        assert!(event.get("referer").is_none());
    }

    #[test]
    fn sharing_leaves_out_what_is_not_there() {
        let plain = sharing(&Sharing { scheme: "http", port: 8080, ..Sharing::default() });
        assert_eq!(plain["url"], "http://localhost:8080");
        assert!(plain.get("password").is_none() && plain.get("fingerprint").is_none());
        let guarded = Sharing { credentials: Some(("guest".into(), "x".into())), ..Sharing::default() };
        assert_eq!(sharing(&guarded)["user"], "guest");
    }

    #[test]
    fn every_documented_event_exists() {
        let documented = include_str!("../../../../docs/json-events.md");
        let finding = warning(&samples::finding());
        assert_eq!(finding["severity"], "warning");
        let tunnel_in = |state| Tunnel { way: 0, via: String::new(), state };
        let until = std::time::Instant::now();
        let waiting = tunnel_in(Some(State::Waiting { why: String::new(), until }));
        let stopped = tunnel_in(Some(State::Stopped { why: String::new(), fix: String::new() }));
        for event in [
            sharing(&Sharing::default()),
            request(&samples::exchange("/", 200)),
            app(&App::default()),
            address(&Address::new(String::new(), super::super::Scope::Network)),
            finding,
            tunnel(&tunnel_in(Some(State::Up { name: String::new() }))),
            tunnel(&waiting),
            tunnel(&stopped),
            gone("https://blog.tun.example.com"),
            stopping(Reason::Once, 1),
            error(&Failure::new(crate::exit::Code::Listen, "x")),
        ] {
            let kind = event["event"].as_str().unwrap();
            assert!(documented.contains(&format!("`{kind}`")), "{kind}");
            for field in event.as_object().unwrap().keys() {
                assert!(documented.contains(&format!("`{field}`")), "{kind}.{field}");
            }
        }
    }
}
