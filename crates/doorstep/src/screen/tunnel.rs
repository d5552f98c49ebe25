//! How the way from the internet fares, on the screen.

use super::line::{BAD, DIM, LINK, Line, PLAIN, WARN};
use super::story::Tunnel;
use super::text;
use crate::lend::{State, seconds_until};
use crate::outside::is_direct;

/// What stands beside `internet`: its addresses, then what is not as it should be.
pub fn rows(tunnels: &[Tunnel], addresses: &[String], room: usize) -> Vec<Line> {
    let mut rows: Vec<Line> = addresses.iter().map(|address| Line::new(address.clone(), LINK)).collect();
    let up = |tunnel: &Tunnel| matches!(tunnel.state, Some(State::Up { .. }));
    let all_well = tunnels.iter().any(up) && !addresses.is_empty();
    for tunnel in tunnels {
        let Some(state) = &tunnel.state else { continue };
        let style = match state {
            State::Up { .. } if all_well => continue,
            // A way that stands by is of interest only while the one before it is in trouble.
            State::Waiting { .. } | State::Connecting if all_well => DIM,
            State::Up { .. } | State::Connecting => DIM,
            State::Waiting { .. } => WARN,
            State::Stopped { .. } => BAD,
        };
        let words = words(tunnel);
        rows.extend(text::wrap(&text::visible(&words), room).into_iter().map(|part| Line::new(part, style)));
    }
    if rows.is_empty() {
        rows.push(Line::new("", PLAIN));
    }
    rows
}

/// The state in words: `reconnecting to tun.example.com in 3 s: the connection broke`.
pub fn words(tunnel: &Tunnel) -> String {
    let via = &tunnel.via;
    let Some(state) = &tunnel.state else { return format!("{via} stands by") };
    match state {
        State::Connecting if is_direct(via) => format!("asking {via} for a port …"),
        State::Up { .. } if is_direct(via) => format!("{via} lets visitors in"),
        State::Waiting { why, .. } if is_direct(via) => format!("{via}: {why}"),
        State::Connecting => format!("connecting to {via} …"),
        State::Up { .. } => format!("connected to {via}, asking for an address …"),
        State::Waiting { why, until } => {
            let when = match seconds_until(*until) {
                0 => "now".to_owned(),
                left => format!("in {left} s"),
            };
            format!("reconnecting to {via} {when}: {why}")
        }
        State::Stopped { why, fix } if fix.is_empty() => format!("{via}: {why}"),
        State::Stopped { why, fix } => format!("{via}: {why}. {fix}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn shown(states: &[State], addresses: &[&str]) -> Vec<String> {
        let tunnel = |state: &State| Tunnel { way: 0, via: "tun.example.com".into(), state: Some(state.clone()) };
        let tunnels: Vec<Tunnel> = states.iter().map(tunnel).collect();
        let addresses: Vec<String> = addresses.iter().map(|text| (*text).to_owned()).collect();
        rows(&tunnels, &addresses, 80).iter().map(|line| line.paint(false)).collect()
    }

    #[test]
    fn an_address_stands_alone_while_all_is_well() {
        let up = State::Up { name: "studio".into() };
        assert_eq!(
            shown(std::slice::from_ref(&up), &["https://blog.tun.example.com"]),
            ["https://blog.tun.example.com"]
        );
        assert_eq!(shown(&[up], &[]), ["connected to tun.example.com, asking for an address …"]);
        assert_eq!(shown(&[State::Connecting], &[]), ["connecting to tun.example.com …"]);
    }

    #[test]
    fn what_is_wrong_stands_below_with_its_reason() {
        let until = Instant::now() + Duration::from_millis(2900);
        let waiting = State::Waiting { why: "the connection broke".into(), until };
        let rows = shown(&[waiting], &["https://blog.tun.example.com"]);
        assert_eq!(rows[1], "reconnecting to tun.example.com in 3 s: the connection broke");
        let stopped = State::Stopped { why: "the key was revoked".into(), fix: "Ask for another.".into() };
        assert_eq!(shown(&[stopped], &[]), ["tun.example.com: the key was revoked. Ask for another."]);
    }
}
