//! How the ports of the router and the names of `[public]` fare, as `doorstep status` shows it.

use serde::{Deserialize, Serialize};

use super::table::{Cell, Column, left};
use crate::screen::line::{BAD, BOLD, DIM, GOOD, PLAIN, WARN};

/// A port that a router was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MappingStatus {
    /// The port here.
    pub port: u16,
    /// `ipv4` or `ipv6`.
    pub family: String,
    pub open: bool,
    /// What visitors use, as far as it is known: `203.0.113.7:443`.
    pub outside: String,
    /// The protocol that the router granted it by: `UPnP`, `NAT-PMP` or `PCP`.
    pub by: String,
    /// Until when it is granted; it is renewed at half of that. `None`: for good, or not open.
    pub seconds_left: Option<u64>,
    /// Why it is not open; empty if it is.
    pub problem: String,
    pub fix: String,
}

/// A name that is kept leading here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameStatus {
    pub name: String,
    pub provider: String,
    pub state: NameState,
    /// What the provider took last: `A 203.0.113.7`.
    pub values: Vec<String>,
    pub since_at: i64,
    pub problem: String,
    pub fix: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameState {
    /// No public address is known.
    #[default]
    Waiting,
    /// The provider has it; the zone's servers do not answer with it yet.
    Published,
    /// The zone's servers answer with it.
    Served,
    Failed,
}

pub const PORTS: [Column; 4] = [
    left("ROUTER"),
    left("outside"),
    Column { title: "by", right: false, goes: 1 },
    Column { title: "until", right: false, goes: 2 },
];

pub const NAMES: [Column; 4] = [
    left("NAME"),
    left("leads to"),
    Column { title: "state", right: false, goes: 0 },
    Column { title: "provider", right: false, goes: 1 },
];

pub fn port(status: &MappingStatus) -> Vec<Cell> {
    let family = if status.family == "ipv6" { " (IPv6)" } else { "" };
    let outside = match (status.open, status.outside.as_str()) {
        (true, "") => Cell::new("open, at an address it does not tell", WARN),
        (true, outside) => Cell::new(outside, GOOD),
        (false, _) if status.problem.is_empty() => Cell::new("asking", WARN),
        (false, _) => Cell::new(format!("not open: {}", status.problem), BAD),
    };
    let until = match (status.open, status.seconds_left) {
        (true, Some(left)) => format!("{} min", left / 60),
        (true, None) => "for good".to_owned(),
        _ => String::new(),
    };
    vec![
        Cell::new(format!("port {}{family}", status.port), BOLD),
        outside,
        Cell::new(&status.by, PLAIN),
        Cell::new(until, DIM),
    ]
}

pub fn name(status: &NameStatus) -> Vec<Cell> {
    let (state, style) = match status.state {
        NameState::Waiting => ("no address known", WARN),
        NameState::Published => ("published", WARN),
        NameState::Served => ("served", GOOD),
        NameState::Failed => ("failed", BAD),
    };
    let values: Vec<&str> =
        status.values.iter().map(|value| value.split_once(' ').map_or(value.as_str(), |(_, value)| value)).collect();
    let leads = if status.problem.is_empty() { values.join(", ") } else { status.problem.clone() };
    vec![
        Cell::new(&status.name, BOLD),
        Cell::new(leads, PLAIN),
        Cell::new(state, style),
        Cell::new(&status.provider, DIM),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_names_in_words() {
        let open = MappingStatus {
            port: 443,
            open: true,
            outside: "203.0.113.7:443".into(),
            by: "UPnP".into(),
            seconds_left: Some(1805),
            ..MappingStatus::default()
        };
        assert_eq!(port(&open)[3], Cell::new("30 min", DIM));
        let closed = MappingStatus { problem: "the router refused".into(), ..MappingStatus::default() };
        assert_eq!(port(&closed)[1], Cell::new("not open: the router refused", BAD));
        let served = NameStatus {
            name: "home.example.com".into(),
            state: NameState::Served,
            values: vec!["A 203.0.113.7".into(), "AAAA 2001:db8::1".into()],
            ..NameStatus::default()
        };
        assert_eq!(name(&served)[1], Cell::new("203.0.113.7, 2001:db8::1", PLAIN));
    }
}
