//! One download, and then it is over.

mod parts;

use std::net::IpAddr;
use std::sync::Arc;

use doorstep_http::{BoxFuture, Kind, Outcome, Request, Response, Service};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::parts::{Part, Parts};
use crate::client::client_key;
use crate::limits::RESUME_GRACE;
use crate::{Ended, Stop, page};

/// Ends the share after the first complete download of what is shared ([`Kind::Content`]).
///
/// - Whoever begins a download holds the share. Others get 409 meanwhile, and for [`RESUME_GRACE`] after it broke, so
///   that it can be resumed. The holder is known by its address: two people behind one router are one.
/// - Complete means that the engine handed all bytes to the kernel: in one response, or in ranges that together cover
///   the file. The engine says so by [`Response::finished`], so files still go out by sendfile.
/// - Afterwards everything gets 410. Pages (a listing, the login) never count, nor what browsers fetch unasked.
pub(crate) struct Once {
    state: Arc<State>,
    inner: Arc<dyn Service>,
}

struct State {
    phase: Mutex<Phase>,
    stop: Stop,
}

enum Phase {
    Free,
    Held(Hold),
    Over,
}

struct Hold {
    client: IpAddr,
    /// Responses on their way.
    running: usize,
    /// When the last one ended.
    ended: Instant,
    parts: Parts,
}

impl Once {
    pub(crate) fn new(inner: Arc<dyn Service>, stop: Stop) -> Self {
        Self { state: Arc::new(State { phase: Mutex::new(Phase::Free), stop }), inner }
    }

    async fn answer(&self, request: Request) -> Response {
        if matches!(*self.state.phase.lock(), Phase::Over) {
            return over(&request);
        }
        let asked = Asked::of(&request);
        let mut response = self.inner.call(request).await;
        let Some(part) = counted_part(&asked, &response) else { return response };
        match self.state.begin(asked.client) {
            Begun::Yes => {}
            Begun::Busy => return busy(&asked.request),
            Begun::Over => return over(&asked.request),
        }
        let ticket = Ticket { state: Arc::clone(&self.state), path: asked.request.path.clone(), part, outcome: None };
        let before = response.finished.take();
        response.finished = Some(Box::new(move |outcome, sent| {
            if let Some(before) = before {
                before(outcome, sent);
            }
            ticket.settle(outcome, sent);
        }));
        response
    }
}

impl Service for Once {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

/// What must be known of a request after the service has taken it.
struct Asked {
    client: IpAddr,
    /// The request without its body, to answer in its manner.
    request: Request,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let mut copy = Request::get("/");
        copy.method = request.method.clone();
        copy.path.clone_from(&request.path);
        copy.conn = Arc::clone(&request.conn);
        if let Some(accept) = request.headers.get(header::ACCEPT) {
            copy.headers.insert(header::ACCEPT, accept.clone());
        }
        Self { client: client_key(request), request: copy }
    }
}

/// Which part of what a response carries, if it counts as a download.
fn counted_part(asked: &Asked, response: &Response) -> Option<Part> {
    if asked.request.method != Method::GET || is_fetched_unasked(&asked.request.path) {
        return None;
    }
    match (response.status, response.kind) {
        (StatusCode::OK, Kind::Content) if response.headers.contains_key(header::CONTENT_ENCODING) => {
            Some(Part::Whole(None))
        }
        (StatusCode::OK, Kind::Content) => Some(Part::Whole(response.body.len())),
        (StatusCode::PARTIAL_CONTENT, Kind::Partial) => {
            Part::of_content_range(response.headers.get(header::CONTENT_RANGE)?)
        }
        _ => None,
    }
}

/// What browsers and crawlers ask for by themselves must not end a share.
fn is_fetched_unasked(path: &str) -> bool {
    path == "/favicon.ico" || path == "/robots.txt" || path.starts_with("/apple-touch-icon")
}

enum Begun {
    Yes,
    Busy,
    Over,
}

impl State {
    fn begin(&self, client: IpAddr) -> Begun {
        let mut phase = self.phase.lock();
        let now = Instant::now();
        match &mut *phase {
            Phase::Over => return Begun::Over,
            Phase::Held(hold) if hold.client == client => hold.running += 1,
            Phase::Held(hold) if hold.running > 0 || now.duration_since(hold.ended) < RESUME_GRACE => {
                return Begun::Busy;
            }
            Phase::Free | Phase::Held(_) => {
                *phase = Phase::Held(Hold { client, running: 1, ended: now, parts: Parts::default() });
            }
        }
        Begun::Yes
    }

    fn end(&self, path: &str, part: Part, ended: Option<(Outcome, u64)>) {
        let mut phase = self.phase.lock();
        let Phase::Held(hold) = &mut *phase else { return };
        hold.running = hold.running.saturating_sub(1);
        hold.ended = Instant::now();
        let complete = match (part, ended) {
            (Part::Whole(_), Some((Outcome::Complete, _))) => true,
            (part, Some((_, sent))) => hold.parts.add(path, part, sent),
            (_, None) => false,
        };
        if complete {
            *phase = Phase::Over;
            drop(phase);
            self.stop.call(Ended::Downloaded);
        }
    }
}

/// One response on its way. Ends the hold's count however it goes, sent or not.
struct Ticket {
    state: Arc<State>,
    path: String,
    part: Part,
    outcome: Option<(Outcome, u64)>,
}

impl Ticket {
    fn settle(mut self, outcome: Outcome, sent: u64) {
        self.outcome = Some((outcome, sent));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.state.end(&self.path, self.part, self.outcome);
    }
}

fn busy(request: &Request) -> Response {
    let text = "This share is for one download, and somebody is downloading just now. If that fails, it is free again in a minute.";
    page::answer(request, StatusCode::CONFLICT, "Somebody else was first", text)
        .with(header::RETRY_AFTER, HeaderValue::from(RESUME_GRACE.as_secs()))
}

fn over(request: &Request) -> Response {
    let text = "It was for one download, and that has been made. Ask whoever sent you the link to share it again.";
    page::answer(request, StatusCode::GONE, "This share has ended", text)
}

#[cfg(test)]
mod tests;
