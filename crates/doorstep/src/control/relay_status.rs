//! A relay in `doorstep status`.

use serde::{Deserialize, Serialize};

use super::table::{Cell, Column, left, right};
use crate::screen::human::{bytes, grouped};
use crate::screen::line::{BOLD, DIM, GOOD, PLAIN, WARN};

/// Who is lent what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Relay {
    pub domain: String,
    /// The first and the last port that may be lent; `None` lends names only.
    pub ports: Option<(u16, u16)>,
    /// Requests that wait for an agent to come back.
    pub waiting: u64,
    /// How often somebody was not let in, or did not get a name or port, since the relay's start.
    pub refused: u64,
    /// The last ones, the latest first, each once.
    pub refusals: Vec<Refusal>,
    pub agents: Vec<RelayAgent>,
}

/// Who from where was refused, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub what: String,
    /// Seconds since 1970.
    pub seen_at: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayAgent {
    pub name: String,
    /// Connections of it to this relay; 0 is away.
    pub sessions: u64,
    pub revoked: bool,
    /// Host names that are its own, whether or not it is there.
    pub names: Vec<String>,
    /// `tcp/20000`, `udp/20001`.
    pub ports: Vec<String>,
    /// Address and port that it comes from; empty while it is away.
    pub from: String,
    pub round_trip_ms: Option<f64>,
    /// Visitors' connections that are open.
    pub streams: u64,
    /// Since the relay's start, as all that follow.
    pub requests: u64,
    /// Requests and connections beyond its limits.
    pub refused: u64,
    /// From visitors to it.
    pub bytes_in: u64,
    /// From it to visitors.
    pub bytes_out: u64,
}

pub const AGENTS: [Column; 8] = [
    left("AGENT"),
    left("state"),
    Column { title: "lends", right: false, goes: 4 },
    right("open", 1),
    right("requests", 3),
    right("refused", 2),
    right("sent", 5),
    Column { title: "from", right: false, goes: 6 },
];

/// In words, beneath the head of `doorstep status`.
pub fn summary(relay: &Relay) -> String {
    let online = relay.agents.iter().filter(|agent| agent.sessions > 0).count();
    let mut text = format!("relay {}: {online} of {} agents here", relay.domain, relay.agents.len());
    if relay.agents.is_empty() {
        text = format!("relay {}: no agents yet; `doorstep relay invite NAME` lets one in", relay.domain);
    }
    if relay.waiting > 0 {
        text += &format!(", {} requests wait for one to come back", grouped(relay.waiting));
    }
    if relay.refused > 0 {
        text += &format!(", {} refused", grouped(relay.refused));
    }
    text
}

pub fn row(agent: &RelayAgent) -> Vec<Cell> {
    let (state, style) = match agent {
        RelayAgent { revoked: true, .. } => ("revoked", WARN),
        RelayAgent { sessions: 0, .. } => ("away", DIM),
        _ => ("here", GOOD),
    };
    let refused = if agent.refused == 0 { Cell::new("0", DIM) } else { Cell::new(grouped(agent.refused), WARN) };
    vec![
        Cell::new(&agent.name, BOLD),
        Cell::new(state, style),
        lends(agent).into(),
        grouped(agent.streams).into(),
        grouped(agent.requests).into(),
        refused,
        bytes(agent.bytes_out).into(),
        Cell::new(&agent.from, PLAIN),
    ]
}

/// The first of what it has, and how much more there is.
fn lends(agent: &RelayAgent) -> String {
    let mut all = agent.names.iter().chain(&agent.ports);
    let Some(first) = all.next() else { return "nothing".to_owned() };
    match all.count() {
        0 => first.clone(),
        more => format!("{first} (+{more})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_the_first_agent_comes_in() {
        let relay = Relay { domain: "tun.example.com".to_owned(), ..Relay::default() };
        assert!(summary(&relay).contains("doorstep relay invite"));
        let here = RelayAgent { sessions: 1, names: vec!["a".into(), "b".into()], ..RelayAgent::default() };
        let relay = Relay { agents: vec![here.clone(), RelayAgent::default()], waiting: 2, ..relay };
        assert_eq!(summary(&relay), "relay tun.example.com: 1 of 2 agents here, 2 requests wait for one to come back");
        assert!(summary(&Relay { refused: 3, ..relay }).ends_with(", 3 refused"));
        assert_eq!((lends(&here), lends(&RelayAgent::default())), ("a (+1)".to_owned(), "nothing".to_owned()));
    }
}
