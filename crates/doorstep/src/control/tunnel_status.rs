//! How the tunnels of `[tunnel]` fare, as `doorstep status` shows it.

use serde::{Deserialize, Serialize};

use super::table::{Cell, Column, left, right};
use crate::screen::line::{BAD, BOLD, DIM, GOOD, PLAIN, WARN};

/// One way by which visitors come from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TunnelStatus {
    /// Who lends: a relay, an ssh server, a PageKite front-end.
    pub via: String,
    pub state: TunnelState,
    /// What is wrong; empty if nothing is.
    pub problem: String,
    /// When it is tried again.
    pub again_in_seconds: Option<u64>,
    /// Since when it is up, or is not.
    pub since_at: i64,
    /// To the relay and back, where it is measured.
    pub round_trip_ms: Option<f64>,
    /// Times that it came up again.
    pub reconnects: u64,
    pub lent: Vec<LentStatus>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelState {
    #[default]
    Connecting,
    Up,
    /// Down, and tried again.
    Waiting,
    /// Given up until somebody does something.
    Stopped,
    /// Not taken: one before it works.
    Standby,
}

/// One thing that is lent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LentStatus {
    /// `site blog.example.com`, `localhost:22`.
    pub what: String,
    /// Where visitors reach it; empty if they do not.
    pub address: String,
    /// Why it is not lent; empty if it is.
    pub problem: String,
}

pub const TUNNELS: [Column; 6] = [
    left("TUNNEL"),
    left("state"),
    Column { title: "lends", right: false, goes: 0 },
    Column { title: "of", right: false, goes: 2 },
    right("there and back", 3),
    right("reconnects", 1),
];

/// The way, and beneath it what else is lent by it.
pub fn rows(tunnel: &TunnelStatus) -> Vec<Vec<Cell>> {
    let (state, style) = match tunnel.state {
        TunnelState::Up => ("up".to_owned(), GOOD),
        TunnelState::Connecting => ("connecting".to_owned(), WARN),
        TunnelState::Waiting => {
            let again = tunnel.again_in_seconds.map_or_else(String::new, |seconds| format!(", again in {seconds} s"));
            (format!("down{again}"), BAD)
        }
        TunnelState::Stopped => ("given up".to_owned(), BAD),
        TunnelState::Standby => ("stands by".to_owned(), DIM),
    };
    let time = tunnel.round_trip_ms.map(|ms| format!("{ms:.0} ms")).unwrap_or_default();
    let mut lent = tunnel.lent.iter().map(|one| match one.address.as_str() {
        // The details stand in the finding above the table.
        "" => {
            let why = one.problem.split(" (").next().unwrap_or_default();
            (Cell::new(format!("not: {why}"), WARN), Cell::new(&one.what, PLAIN))
        }
        address => (Cell::new(address, PLAIN), Cell::new(&one.what, PLAIN)),
    });
    let nothing = || (Cell::new(&tunnel.problem, PLAIN), Cell::new("", PLAIN));
    let (first, of) = lent.next().unwrap_or_else(nothing);
    let reconnects = Cell::new(tunnel.reconnects.to_string(), if tunnel.reconnects == 0 { DIM } else { PLAIN });
    let mut rows =
        vec![vec![Cell::new(&tunnel.via, BOLD), Cell::new(state, style), first, of, time.into(), reconnects]];
    rows.extend(lent.map(|(address, of)| vec!["".into(), "".into(), address, of, "".into(), "".into()]));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_that_is_lent_has_a_row() {
        let lent = |what: &str, address: &str, problem: &str| LentStatus {
            what: what.into(),
            address: address.into(),
            problem: problem.into(),
        };
        let up = TunnelStatus {
            via: "tun.example.com".into(),
            state: TunnelState::Up,
            round_trip_ms: Some(12.4),
            lent: vec![
                lent("site blog.example.com", "https://blog.example.com", ""),
                lent("localhost:22", "", "the relay does not lend this port"),
            ],
            ..TunnelStatus::default()
        };
        let rows = rows(&up);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0][2], Cell::new("https://blog.example.com", PLAIN));
        assert_eq!(rows[0][4], Cell::new("12 ms", PLAIN));
        assert_eq!(rows[1][2], Cell::new("not: the relay does not lend this port", WARN));
    }

    #[test]
    fn a_way_that_is_down_says_why() {
        let down = TunnelStatus {
            via: "ssh://vps".into(),
            state: TunnelState::Waiting,
            problem: "the connection broke".into(),
            again_in_seconds: Some(3),
            ..TunnelStatus::default()
        };
        assert_eq!(rows(&down)[0][1], Cell::new("down, again in 3 s", BAD));
        assert_eq!(rows(&down)[0][2], Cell::new("the connection broke", PLAIN));
    }
}
