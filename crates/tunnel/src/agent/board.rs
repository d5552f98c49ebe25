use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;

/// How an agent fares, for `doorstep status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentStatus {
    /// Address of the relay that serves now; `None` while there is no session.
    pub relay: Option<String>,
    /// What the relay calls this agent.
    pub name: Option<String>,
    /// When the session began, in seconds since 1970.
    pub since: Option<u64>,
    /// How long the relay took to answer last, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Data connections that are open.
    pub connections: usize,
    /// Visitors' streams that are open.
    pub streams: usize,
    /// Streams since the start.
    pub streams_total: u64,
    /// Bytes that came from visitors, and went to them, since the start.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Sessions after the first.
    pub reconnects: u64,
    /// Why the last attempt or session failed.
    pub last_error: Option<String>,
    /// Why the agent gave up, if it did.
    pub stopped: Option<String>,
    /// By target: the address that it is lent at, once it was, or why not.
    pub targets: Vec<TargetStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetStatus {
    /// The relay did not say yet.
    #[default]
    Waiting,
    Lent(String),
    Refused(String),
}

/// Where everything that happens is counted.
#[derive(Default)]
pub(super) struct Board {
    pub traffic: Traffic,
    words: Mutex<AgentStatus>,
}

#[derive(Default)]
pub(super) struct Traffic {
    pub connections: AtomicUsize,
    pub streams: AtomicUsize,
    pub streams_total: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

impl Board {
    pub fn new(targets: usize) -> Self {
        let board = Self::default();
        board.words.lock().targets = vec![TargetStatus::Waiting; targets];
        board
    }

    pub fn status(&self) -> AgentStatus {
        let traffic = &self.traffic;
        AgentStatus {
            connections: traffic.connections.load(Ordering::Relaxed),
            streams: traffic.streams.load(Ordering::Relaxed),
            streams_total: traffic.streams_total.load(Ordering::Relaxed),
            bytes_in: traffic.bytes_in.load(Ordering::Relaxed),
            bytes_out: traffic.bytes_out.load(Ordering::Relaxed),
            ..self.words.lock().clone()
        }
    }

    pub fn online(&self, relay: &str, name: &str, again: bool) {
        let mut words = self.words.lock();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        words.relay = Some(relay.to_owned());
        words.name = Some(name.to_owned());
        words.since = now.map(|now| now.as_secs());
        words.round_trip_us = None;
        words.reconnects += u64::from(again);
    }

    pub fn offline(&self) {
        let mut words = self.words.lock();
        (words.relay, words.since, words.round_trip_us) = (None, None, None);
    }

    pub fn round_trip(&self, time: Option<Duration>) {
        if let Some(time) = time {
            self.words.lock().round_trip_us = u64::try_from(time.as_micros()).ok();
        }
    }

    pub fn failed(&self, why: String) {
        self.words.lock().last_error = Some(why);
    }

    pub fn stopped(&self, why: String) {
        self.words.lock().stopped = Some(why);
    }

    pub fn target(&self, index: usize, status: TargetStatus) {
        if let Some(target) = self.words.lock().targets.get_mut(index) {
            *target = status;
        }
    }
}
