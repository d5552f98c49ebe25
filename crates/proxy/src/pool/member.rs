use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_model::Upstream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::headers::Origins;
use crate::idle::PoolKey;
use crate::limits;

/// One upstream of a pool, as all workers share it.
pub struct Member {
    /// Shared with the responses that it gives, for logs.
    pub id: Arc<str>,
    pub upstream: Upstream,
    pub origins: Origins,
    /// Its idle connections.
    pub key: PoolKey,
    in_flight: Apart,
    leaving: AtomicBool,
    /// Failures in a row, as a sign for requests that succeed that there is something to forgive.
    troubled: AtomicBool,
    standing: Mutex<Standing>,
    /// Raised whenever the membership, or what is known of a member, changed.
    changed: Arc<watch::Sender<u64>>,
}

/// A number that all workers write to, on cache lines of its own: what they only read would go from core to core with it.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicUsize);

/// What is known of a member's health.
struct Standing {
    ready_since: Instant,
    /// Failures of requests in a row.
    fails: u32,
    away: Option<Away>,
    /// The verdict of the active checks.
    unwell: bool,
    /// Checks in a row that contradict the verdict.
    contradicting: u32,
    last_error: Option<String>,
}

/// A member that gets no requests but one at a time, to see whether it is back.
struct Away {
    why: Why,
    /// When a request may try it again.
    until: Instant,
    pause: Duration,
    trying: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It failed too often in a row.
    Resting,
    /// Nothing listens there.
    Absent,
}

/// What a member is good for just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    Ready,
    Unwell,
    Away(Why),
}

impl Member {
    pub fn new(id: String, upstream: Upstream, changed: Arc<watch::Sender<u64>>) -> Arc<Self> {
        let standing = Standing {
            ready_since: Instant::now(),
            fails: 0,
            away: None,
            unwell: false,
            contradicting: 0,
            last_error: None,
        };
        Arc::new(Self {
            id: id.into(),
            origins: Origins::new(&upstream),
            upstream,
            key: PoolKey::unique(),
            in_flight: Apart::default(),
            leaving: AtomicBool::new(false),
            troubled: AtomicBool::new(false),
            standing: Mutex::new(standing),
            changed,
        })
    }

    /// Counts a request in, unless the member is leaving.
    pub fn enter(self: &Arc<Self>) -> Option<InFlight> {
        // Counted first and looked at then, while `leave` does it the other way round: one of the two sees the other,
        // so that nobody is told that a member is drained on which a request is about to start.
        self.in_flight.0.fetch_add(1, Ordering::SeqCst);
        let lease = InFlight { member: self.clone() };
        (!self.leaving.load(Ordering::SeqCst)).then_some(lease)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::SeqCst)
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// Somebody who knows says that it is there, or that it is to get no more requests.
    pub fn set(&self, leaving: bool) {
        let was_leaving = self.leaving.swap(leaving, Ordering::SeqCst);
        if leaving {
            return;
        }
        let mut standing = self.standing.lock();
        if was_leaving {
            // It comes back as a new process.
            (standing.away, standing.fails, standing.unwell) = (None, 0, false);
            standing.ready_since = Instant::now();
        }
        if let Some(away) = standing.away.as_mut().filter(|away| away.why == Why::Absent) {
            (away.until, away.pause) = (Instant::now(), limits::ABSENT_PAUSE / 2);
        }
    }

    pub fn fitness(&self) -> Fitness {
        let standing = self.standing.lock();
        match &standing.away {
            Some(away) => Fitness::Away(away.why),
            None if standing.unwell => Fitness::Unwell,
            None => Fitness::Ready,
        }
    }

    pub fn ready_since(&self) -> Instant {
        self.standing.lock().ready_since
    }

    pub fn last_error(&self) -> Option<String> {
        self.standing.lock().last_error.clone()
    }

    /// When a request may try a member that is away; `None` if one is trying it already, or it is not away.
    pub fn due(&self) -> Option<Instant> {
        self.standing.lock().away.as_ref().filter(|away| !away.trying).map(|away| away.until)
    }

    /// The right to try a member that is away, if its pause is over and nobody else has it.
    pub fn try_again(self: &Arc<Self>, now: Instant) -> Option<Trial> {
        let mut standing = self.standing.lock();
        let away = standing.away.as_mut().filter(|away| !away.trying && away.until <= now)?;
        away.trying = true;
        Some(Trial(self.clone()))
    }

    /// A request was answered. `true` if that changes what the member is good for.
    pub fn succeeded(&self) -> bool {
        // Looked at first: a store would pass the cache line from core to core with each request.
        if !self.troubled.load(Ordering::Relaxed) {
            return false;
        }
        self.troubled.store(false, Ordering::Relaxed);
        let mut standing = self.standing.lock();
        standing.fails = 0;
        let was_away = standing.away.take().is_some();
        if was_away {
            standing.ready_since = Instant::now();
        }
        was_away
    }

    /// A request failed by the member's fault. `true` if that changes what the member is good for.
    pub fn failed(&self, error: String, max_fails: u32, rest: Duration) -> bool {
        self.troubled.store(true, Ordering::Relaxed);
        let mut standing = self.standing.lock();
        standing.last_error = Some(error);
        standing.fails = standing.fails.saturating_add(1);
        let was_resting = standing.away.as_ref().is_some_and(|away| away.why == Why::Resting);
        if max_fails == 0 || (standing.fails < max_fails && !was_resting) {
            // It took the request, so it is there, whatever it did with it.
            return standing.away.take().is_some();
        }
        standing.away = Some(Away { why: Why::Resting, until: Instant::now() + rest, pause: rest, trying: false });
        !was_resting
    }

    /// Nothing listens there. `true` if that is news.
    pub fn missed(&self, error: String) -> bool {
        self.troubled.store(true, Ordering::Relaxed);
        let mut standing = self.standing.lock();
        standing.last_error = Some(error);
        let now = Instant::now();
        let before = standing.away.take().filter(|away| away.why == Why::Absent);
        // Many requests may find out at the same time; only who tries again makes the pause longer.
        if before.as_ref().is_some_and(|away| !away.trying && away.until > now) {
            standing.away = before;
            return false;
        }
        let pause = before.as_ref().map_or(limits::ABSENT_PAUSE, |away| away.pause * 2).min(limits::ABSENT_PAUSE_MOST);
        standing.away = Some(Away { why: Why::Absent, until: now + pause, pause, trying: false });
        before.is_none()
    }

    /// An active check went well or not. `true` if that changes what the member is good for.
    pub fn checked(&self, outcome: Result<(), String>, healthy_after: u32, unhealthy_after: u32) -> bool {
        let mut standing = self.standing.lock();
        let well = outcome.is_ok();
        if let Err(error) = outcome {
            standing.last_error = Some(error);
        }
        // A check that was answered says that somebody listens again.
        let present = well && standing.away.as_ref().is_some_and(|away| away.why == Why::Absent && !away.trying);
        if present {
            standing.away = None;
            standing.ready_since = Instant::now();
        }
        if well != standing.unwell {
            standing.contradicting = 0;
            return present;
        }
        standing.contradicting += 1;
        if standing.contradicting < if well { healthy_after } else { unhealthy_after }.max(1) {
            return present;
        }
        standing.contradicting = 0;
        standing.unwell = !well;
        if well {
            standing.ready_since = Instant::now();
        }
        true
    }

    /// Wakes whoever waits for a change.
    pub fn tell(&self) {
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }
}

/// A request that a member has not finished with; dropping it ends that. It lives as long as the response's body or the
/// upgraded connection.
pub struct InFlight {
    member: Arc<Member>,
}

impl InFlight {
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.member.in_flight.0.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.member.is_leaving() {
            self.member.tell();
        }
    }
}

/// The right to try a member that is away; dropping it, with a verdict or without, gives it to the next.
pub struct Trial(Arc<Member>);

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(away) = &mut self.0.standing.lock().away {
            away.trying = false;
        }
        self.0.tell();
    }
}
