use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_proto::http1::Decoded;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::wire::{BodyState, Inner, Wire};
use crate::{BodyError, Transfer};

/// The body of the request being served. It reads from the connection only when it is polled, so a service that is slow
/// slows its client, and nothing is buffered. Dropped early, the rest stays for the connection to discard.
pub(super) struct RequestBody {
    wire: Wire,
    length: Option<u64>,
    transfer: Option<Arc<Transfer>>,
}

impl RequestBody {
    pub(super) fn new(wire: Wire, length: Option<u64>, transfer: Option<Arc<Transfer>>) -> Self {
        Self { wire, length, transfer }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut inner = this.wire.lock();
        if inner.continue_due {
            send_continue(&mut inner, cx);
        }
        let frame = ready!(poll_body(&mut inner, cx));
        if let (Some(transfer), Some(Ok(frame))) = (&this.transfer, &frame) {
            transfer.add(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        if frame.as_ref().is_some_and(Result::is_err) {
            inner.body = BodyState::Failed;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.wire.lock().body_done()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length - self.wire.lock().received.min(length)),
            None => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(transfer) = &self.transfer {
            transfer.done.store(true, Ordering::Relaxed);
        }
    }
}

/// Takes the next piece of the body off the connection.
pub(super) fn poll_body(inner: &mut Inner, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    loop {
        let expected = match &mut inner.body {
            BodyState::Done => return Poll::Ready(None),
            BodyState::Failed => return Poll::Ready(Some(Err(BodyError::ClientGone))),
            BodyState::Length(left) => {
                if !inner.buffer.is_empty() {
                    let take = inner.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let data = inner.buffer.split_to(take).freeze();
                    *left -= take as u64;
                    inner.received += take as u64;
                    if *left == 0 {
                        inner.body = BodyState::Done;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(*left)
            }
            BodyState::Chunked(decoder) => match decoder.decode(&mut inner.buffer) {
                Ok(Decoded::NeedMore) => None,
                Ok(Decoded::Data(data)) => {
                    inner.received += data.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Decoded::End(trailers)) => {
                    inner.body = BodyState::Done;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Err(error) => return Poll::Ready(Some(Err(BodyError::Malformed(error.reason())))),
            },
        };
        match ready!(inner.poll_fill_body(cx, expected)) {
            Ok(0) | Err(_) => return Poll::Ready(Some(Err(BodyError::ClientGone))),
            Ok(_) => {}
        }
    }
}

/// Tells the client to go on, unless the response has already begun. The few bytes always fit an idle socket's buffer;
/// where they do not, the client goes on by itself after a second, as RFC 9110 section 10.1.1 has it.
fn send_continue(inner: &mut Inner, cx: &mut Context<'_>) {
    inner.continue_due = false;
    if !inner.response_started && inner.buffer.is_empty() {
        let _ = Pin::new(&mut inner.io).poll_write(cx, b"HTTP/1.1 100 Continue\r\n\r\n");
        let _ = Pin::new(&mut inner.io).poll_flush(cx);
    }
}
