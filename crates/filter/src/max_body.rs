//! The largest request body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::{Body, BodyError, Request, Response, pages};
use http::StatusCode;
use http_body::{Frame, SizeHint};

/// Set once a body turned out larger than it may be.
pub(crate) type Exceeded = Arc<AtomicBool>;

/// Whether the body is known to be larger.
pub(crate) fn announces_more(request: &Request, most: u64) -> bool {
    request.body.len().is_some_and(|length| length > most)
}

/// Ends a body that does not say its length with an error as soon as it exceeds `most` bytes.
pub(crate) fn bound(request: &mut Request, most: u64) -> Option<Exceeded> {
    if request.body.len().is_some() {
        return None;
    }
    let exceeded = Exceeded::default();
    let body = std::mem::replace(&mut request.body, Body::Empty);
    request.body = Body::stream(Bounded { body, left: most, most, exceeded: exceeded.clone() });
    Some(exceeded)
}

pub(crate) fn too_large(request: &Request, most: u64) -> Response {
    pages::problem(request, StatusCode::PAYLOAD_TOO_LARGE, &words(most))
}

/// The answer where the request is gone already.
pub(crate) fn turned_out_too_large(most: u64) -> Response {
    Response::text(StatusCode::PAYLOAD_TOO_LARGE, format!("413 {}\n", words(most)))
}

fn words(most: u64) -> String {
    format!("This is more than the {most} bytes that may be sent here.")
}

struct Bounded {
    body: Body,
    left: u64,
    most: u64,
    exceeded: Exceeded,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.exceeded.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = self.left.checked_sub(length) else {
                self.exceeded.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(BodyError::TooLarge(self.most))));
            };
            self.left = left;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
