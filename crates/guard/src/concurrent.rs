use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use doorstep_http::{BoxFuture, Request, Response, Service};
use http::StatusCode;
use http::header::{self, HeaderValue};
use parking_lot::Mutex;

use crate::client::client_key;
use crate::page;

/// Answers 429 to a client of whom too many requests are under way: until the last byte of the response, and for a
/// WebSocket until it is closed.
pub(crate) struct ConcurrentLimit {
    most: usize,
    running: Arc<Running>,
    inner: Arc<dyn Service>,
}

/// Requests under way; clients without any are not in it, so it is no larger than what the engine lets in.
type Running = Mutex<HashMap<IpAddr, usize>>;

impl ConcurrentLimit {
    pub(crate) fn new(most: usize, inner: Arc<dyn Service>) -> Self {
        Self { most: most.max(1), running: Arc::default(), inner }
    }

    async fn answer(&self, request: Request) -> Response {
        let Some(ticket) = Ticket::take(&self.running, client_key(&request), self.most) else {
            let text = format!(
                "More than {} requests from your address are under way. Try again when one is over.",
                self.most
            );
            return page::answer(&request, StatusCode::TOO_MANY_REQUESTS, "One after the other", &text)
                .with(header::RETRY_AFTER, HeaderValue::from_static("1"));
        };
        let mut response = self.inner.call(request).await;
        let ticket = Arc::new(ticket);
        if let Some(upgrade) = response.upgrade {
            let ticket = Arc::clone(&ticket);
            response.upgrade = Some(Box::new(move |io| {
                let running = upgrade(io);
                Box::pin(async move {
                    let _ticket = ticket;
                    running.await;
                })
            }));
        }
        let before = response.finished.take();
        response.finished = Some(Box::new(move |outcome, sent| {
            let _ticket = ticket;
            if let Some(before) = before {
                before(outcome, sent);
            }
        }));
        response
    }
}

impl Service for ConcurrentLimit {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

/// One request under way, until it is dropped.
struct Ticket {
    running: Arc<Running>,
    client: IpAddr,
}

impl Ticket {
    fn take(running: &Arc<Running>, client: IpAddr, most: usize) -> Option<Self> {
        let mut table = running.lock();
        let count = table.entry(client).or_default();
        // An entry is never left at 0: `most` is at least 1.
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { running: Arc::clone(running), client })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.running.lock();
        if let Some(count) = table.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                table.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use doorstep_http::Outcome;

    use super::*;

    struct App;

    impl Service for App {
        fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
            let mut response = Response::new(StatusCode::OK);
            if request.path == "/socket" {
                response.status = StatusCode::SWITCHING_PROTOCOLS;
                response.upgrade = Some(Box::new(|io| Box::pin(async move { drop(io) })));
            }
            if request.path == "/never" {
                return Box::pin(std::future::pending());
            }
            Box::pin(std::future::ready(response))
        }
    }

    async fn status(limit: &ConcurrentLimit, path: &str) -> u16 {
        limit.call(Request::get(path)).await.status.as_u16()
    }

    #[tokio::test]
    async fn a_response_counts_until_it_is_over() {
        let limit = ConcurrentLimit::new(1, Arc::new(App));
        let mut first = limit.call(Request::get("/")).await;
        assert_eq!(status(&limit, "/").await, 429);
        first.finished.take().unwrap()(Outcome::Complete, 0);
        let second = limit.call(Request::get("/")).await;
        assert_eq!(second.status, StatusCode::OK);
        drop(second);
        assert!(limit.running.lock().is_empty());
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_the_answer_counts_no_more() {
        let limit = ConcurrentLimit::new(1, Arc::new(App));
        let waiting = tokio::time::timeout(std::time::Duration::ZERO, limit.call(Request::get("/never")));
        assert!(waiting.await.is_err());
        assert_eq!(status(&limit, "/").await, 200);
    }

    #[tokio::test]
    async fn a_websocket_counts_until_it_is_closed() {
        let limit = ConcurrentLimit::new(1, Arc::new(App));
        let mut response = limit.call(Request::get("/socket")).await;
        response.finished.take().unwrap()(Outcome::Complete, 0);
        let open = response.upgrade.take().unwrap()(Box::new(tokio::io::empty()));
        assert_eq!(status(&limit, "/").await, 429);
        open.await;
        assert_eq!(status(&limit, "/").await, 200);
    }

    #[tokio::test]
    async fn clients_have_their_own() {
        let limit = ConcurrentLimit::new(1, Arc::new(App));
        let _first = limit.call(Request::get("/")).await;
        let mut other = Request::get("/");
        let mut conn = (*other.conn).clone();
        conn.peer = "192.0.2.7:1".parse().unwrap();
        other.conn = conn.into();
        assert_eq!(limit.call(other).await.status, StatusCode::OK);
    }
}
