//! How the way from the internet fares, on the screen.

use std::time::{Duration, Instant};

use super::line::{BAD, DIM, LINK, Line, PLAIN, WARN};
use super::story::{Tunnel, TunnelState};
use super::text;

/// What stands beside `internet`: its addresses, then what is not as it should be.
pub fn rows(tunnels: &[Tunnel], addresses: &[String], now: Instant, room: usize) -> Vec<Line> {
    let mut rows: Vec<Line> = addresses.iter().map(|address| Line::new(address.clone(), LINK)).collect();
    let all_well = tunnels.iter().any(|tunnel| matches!(tunnel.state, TunnelState::Up { .. })) && !addresses.is_empty();
    for tunnel in tunnels {
        let style = match &tunnel.state {
            TunnelState::Up { .. } if all_well => continue,
            // A way that stands by is of interest only while the one before it is in trouble.
            TunnelState::Waiting { .. } | TunnelState::Connecting if all_well => DIM,
            TunnelState::Up { .. } | TunnelState::Connecting => DIM,
            TunnelState::Waiting { .. } => WARN,
            TunnelState::Stopped { .. } => BAD,
        };
        let words = words(tunnel, now);
        rows.extend(text::wrap(&text::visible(&words), room).into_iter().map(|part| Line::new(part, style)));
    }
    if rows.is_empty() {
        rows.push(Line::new("", PLAIN));
    }
    rows
}

/// The state in words: `reconnecting to tun.example.com in 3 s: the connection broke`.
pub fn words(tunnel: &Tunnel, now: Instant) -> String {
    let via = &tunnel.via;
    match &tunnel.state {
        TunnelState::Connecting => format!("connecting to {via} …"),
        TunnelState::Up { .. } => format!("connected to {via}, asking for an address …"),
        TunnelState::Waiting { why, until } => {
            let left = until.saturating_duration_since(now);
            let when = match left {
                Duration::ZERO => "now".to_owned(),
                left => format!("in {} s", left.as_millis().div_ceil(1000)),
            };
            format!("reconnecting to {via} {when}: {why}")
        }
        TunnelState::Stopped { why, fix } if fix.is_empty() => format!("{via}: {why}"),
        TunnelState::Stopped { why, fix } => format!("{via}: {why}. {fix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(states: &[TunnelState], addresses: &[&str]) -> Vec<String> {
        let tunnels: Vec<Tunnel> =
            states.iter().map(|state| Tunnel { via: "tun.example.com".into(), state: state.clone() }).collect();
        let addresses: Vec<String> = addresses.iter().map(|text| (*text).to_owned()).collect();
        rows(&tunnels, &addresses, Instant::now(), 80).iter().map(|line| line.paint(false)).collect()
    }

    #[test]
    fn an_address_stands_alone_while_all_is_well() {
        let up = TunnelState::Up { name: "studio".into() };
        assert_eq!(shown(&[up.clone()], &["https://blog.tun.example.com"]), ["https://blog.tun.example.com"]);
        assert_eq!(shown(&[up], &[]), ["connected to tun.example.com, asking for an address …"]);
        assert_eq!(shown(&[TunnelState::Connecting], &[]), ["connecting to tun.example.com …"]);
    }

    #[test]
    fn what_is_wrong_stands_below_with_its_reason() {
        let until = Instant::now() + Duration::from_millis(2900);
        let waiting = TunnelState::Waiting { why: "the connection broke".into(), until };
        let rows = shown(&[waiting], &["https://blog.tun.example.com"]);
        assert_eq!(rows[1], "reconnecting to tun.example.com in 3 s: the connection broke");
        let stopped = TunnelState::Stopped { why: "the key was revoked".into(), fix: "Ask for another.".into() };
        assert_eq!(shown(&[stopped], &[]), ["tun.example.com: the key was revoked. Ask for another."]);
    }
}
