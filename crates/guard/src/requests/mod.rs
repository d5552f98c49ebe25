//! The request rate: so many requests of one client in so much time.

mod cells;

use std::sync::Arc;
use std::time::Duration;

use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::RequestRate;
use http::StatusCode;
use http::header::{self, HeaderValue};
use tokio::time::Instant;

use self::cells::Cells;
use crate::client::client_key;
use crate::page;

/// Answers 429 to a client that sends more than its rate, and lets everybody else through.
pub(crate) struct RequestLimit {
    cells: Cells,
    inner: Arc<dyn Service>,
}

impl RequestLimit {
    pub(crate) fn new(rate: RequestRate, inner: Arc<dyn Service>) -> Self {
        Self { cells: Cells::new(rate), inner }
    }
}

impl Service for RequestLimit {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        match self.cells.admit(client_key(&request), Instant::now()) {
            Ok(()) => self.inner.call(request),
            Err(wait) => Box::pin(std::future::ready(refuse(&request, wait))),
        }
    }
}

fn refuse(request: &Request, wait: Duration) -> Response {
    let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
    let text = format!("More requests came from your address than this site takes. Try again in {seconds} s.");
    page::answer(request, StatusCode::TOO_MANY_REQUESTS, "Slow down", &text)
        .with(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Open;

    impl Service for Open {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            Box::pin(std::future::ready(Response::new(StatusCode::OK)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_are_told_when_to_come_back() {
        let rate = RequestRate { requests: 1, per: Duration::from_secs(10), burst: 2 };
        let limit = RequestLimit::new(rate, Arc::new(Open));
        for expected in [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            assert_eq!(limit.call(Request::get("/")).await.status, expected);
        }
        tokio::time::advance(Duration::from_millis(2500)).await;
        let refused = limit.call(Request::get("/")).await;
        assert_eq!((refused.status.as_u16(), &refused.headers[header::RETRY_AFTER]), (429, &HeaderValue::from(8)));
        tokio::time::advance(Duration::from_millis(7500)).await;
        assert_eq!(limit.call(Request::get("/")).await.status, StatusCode::OK);
    }
}
