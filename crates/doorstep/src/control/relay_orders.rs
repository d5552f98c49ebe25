//! What a relay's owner says to it over the control socket, and what it answers.

use serde::{Deserialize, Serialize};

/// An order. Times are seconds since 1970, durations seconds, rates bytes per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum RelayOrder {
    Invite(Box<Invite>),
    Agents,
    Names,
    /// An agent's name or a key's fingerprint.
    Revoke {
        agent: String,
    },
    Stop {
        name: String,
    },
    Start {
        name: String,
    },
    Forget {
        name: String,
    },
    AddKey {
        agent: String,
        key: String,
    },
}

/// What is `None` is the usual, or stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Invite {
    pub agent: String,
    pub names: Option<Vec<String>>,
    pub most_names: Option<usize>,
    pub ports: Option<usize>,
    pub streams: Option<usize>,
    pub rate: Option<u64>,
    pub requests: Option<u32>,
    pub expires: Option<u64>,
    pub until: Option<u64>,
}

/// An agent in full. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    pub name: String,
    pub revoked: bool,
    pub joined_at: u64,
    pub keys: Vec<Key>,
    /// Those that are connected.
    pub sessions: Vec<Session>,
    /// Host names that are its own.
    pub names: Vec<String>,
    /// `tcp/20000`, `udp/20001`.
    pub ports: Vec<String>,
    pub limits: Limits,
    /// Visitors' connections that are open.
    pub streams: u64,
    /// Since the relay's start, as all that follow.
    pub requests: u64,
    pub refused: u64,
    /// From visitors to it.
    pub bytes_in: u64,
    /// From it to visitors.
    pub bytes_out: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Key {
    pub fingerprint: String,
    /// How it came here: `doorstep join`, or the kind and comment of an ssh key.
    pub comment: String,
    pub revoked: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Of the key that it came with.
    pub fingerprint: String,
    pub since: u64,
    /// Address and port that it comes from.
    pub from: String,
    pub software: String,
    pub round_trip_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Patterns; none is any name.
    pub names: Vec<String>,
    pub most_names: usize,
    pub ports: usize,
    pub streams: usize,
    pub rate: Option<u64>,
    pub requests: Option<u32>,
    pub until: Option<u64>,
}

/// A name or port with its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Name {
    /// A host name, `tcp/20000`, or `udp/20000`.
    pub name: String,
    pub agent: String,
    /// Its agent is here and lends it.
    pub lent: bool,
    /// Its TLS ends at the agent.
    pub end_to_end: bool,
    /// Switched off by the relay's owner.
    pub stopped: bool,
}
