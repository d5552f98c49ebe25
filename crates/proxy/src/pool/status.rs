use doorstep_net::upstream_address;
use tokio::time::Instant;

use super::member::{Fitness, Why};
use super::snapshot::Entry;

/// A member as `doorstep status` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: String,
    /// For the operator only: `127.0.0.1:8000`, `unix:/run/app.sock`.
    pub address: String,
    pub state: MemberState,
    /// Requests and upgraded connections.
    pub in_flight: usize,
    pub weight: u32,
    pub backup: bool,
    /// The last thing that went wrong, however long ago.
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    Ready,
    /// Ready, with less than its share so far (slow start).
    Warming,
    /// Fails its health checks.
    Unwell,
    /// Failed several requests in a row, and is tried again from time to time.
    Resting,
    /// Nothing listens there; tried again from time to time.
    Absent,
    /// Finishes what it has in flight.
    Draining,
}

impl MemberStatus {
    pub(super) fn of(entry: &Entry, slow_start: Option<std::time::Duration>) -> Self {
        let member = &entry.member;
        let warm = slow_start.is_none_or(|time| member.ready_since() + time <= Instant::now());
        let state = match member.fitness() {
            _ if member.is_leaving() => MemberState::Draining,
            Fitness::Ready if warm => MemberState::Ready,
            Fitness::Ready => MemberState::Warming,
            Fitness::Unwell => MemberState::Unwell,
            Fitness::Away(Why::Resting) => MemberState::Resting,
            Fitness::Away(Why::Absent) => MemberState::Absent,
        };
        Self {
            id: member.id.to_string(),
            address: upstream_address(&member.upstream),
            state,
            in_flight: member.in_flight(),
            weight: entry.weight,
            backup: entry.backup,
            last_error: member.last_error(),
        }
    }
}

impl MemberState {
    /// One word for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Warming => "warming",
            Self::Unwell => "unwell",
            Self::Resting => "resting",
            Self::Absent => "absent",
            Self::Draining => "draining",
        }
    }
}
