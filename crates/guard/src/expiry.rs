use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use doorstep_http::{BoxFuture, Request, Response, Service};
use http::StatusCode;

use crate::{Ended, Stop, page};

/// Refuses everything after a time, and then ends the share.
///
/// Time is counted by the clock that goes on while the computer sleeps: two hours are two hours of the people's time.
pub(crate) struct Expiry {
    end: Arc<End>,
    inner: Arc<dyn Service>,
}

struct End {
    at: Duration,
}

/// The longest the watcher sleeps at once: a sleeping thread does not notice that the computer was suspended.
const WATCH_INTERVAL: Duration = Duration::from_secs(20);

impl Expiry {
    pub(crate) fn new(lifetime: Duration, inner: Arc<dyn Service>, stop: Stop) -> Self {
        let end = Arc::new(End { at: uptime().saturating_add(lifetime) });
        let watched = Arc::downgrade(&end);
        // A thread and not a task: the share must end even if no runtime of ours has anything to do.
        thread::Builder::new()
            .name("expiry".to_owned())
            .spawn(move || watch(&watched, &stop))
            .expect("a thread can be started");
        Self { end, inner }
    }
}

impl Service for Expiry {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        if self.end.left().is_some() {
            return self.inner.call(request);
        }
        let text = "It was shared for a limited time. Ask whoever sent you the link to share it again.";
        Box::pin(std::future::ready(page::answer(&request, StatusCode::GONE, "This share has ended", text)))
    }
}

impl End {
    /// The time left; `None` when it is over.
    fn left(&self) -> Option<Duration> {
        self.at.checked_sub(uptime()).filter(|left| !left.is_zero())
    }
}

fn watch(end: &Weak<End>, stop: &Stop) {
    // Upgraded only for the moment, so that the watcher ends with its service.
    while let Some(left) = end.upgrade().map(|end| end.left()) {
        match left {
            Some(left) => thread::sleep(left.min(WATCH_INTERVAL)),
            None => return stop.call(Ended::Expired),
        }
    }
}

/// Time since the computer was started, sleep included.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
