use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::limits::{H2_BODY_WAIT, MAX_DISCARDED};
use crate::pace::Pace;
use crate::timer::Timer;
use crate::{BodyError, Transfer};

/// What a request's body tells the task of its stream.
#[derive(Default)]
pub(super) struct Progress {
    pub received: AtomicU64,
    pub done: AtomicBool,
    pub pace: Mutex<Pace>,
    /// What a service left of the body.
    unread: Mutex<Option<RecvStream>>,
}

impl Progress {
    /// Reads and forgets what a service left of the body, within bounds: a request that turns out malformed or cancelled
    /// is not answered (RFC 9113 section 8.1.1). `false` if it did.
    pub(super) async fn finish_body(&self, timer: &mut Timer) -> bool {
        let Some(mut stream) = self.unread.lock().take() else { return true };
        let deadline = Instant::now() + H2_BODY_WAIT;
        let mut discarded = 0;
        std::future::poll_fn(|cx| {
            loop {
                match stream.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => {
                        let _ = stream.flow_control().release_capacity(data.len());
                        discarded += data.len() as u64;
                        if discarded > MAX_DISCARDED {
                            return Poll::Ready(true);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => break,
                    Poll::Pending => return timer.poll(cx, deadline).map(|()| true),
                }
            }
            match stream.poll_trailers(cx) {
                Poll::Ready(trailers) => Poll::Ready(trailers.is_ok()),
                Poll::Pending => timer.poll(cx, deadline).map(|()| true),
            }
        })
        .await
    }
}

/// The body of a request on a stream. Flow control gives the client room only for what was taken.
pub(super) struct RequestBody {
    /// Present until it is dropped.
    stream: Option<RecvStream>,
    length: Option<u64>,
    progress: Arc<Progress>,
    transfer: Option<Arc<Transfer>>,
    data_ended: bool,
}

impl RequestBody {
    pub(super) fn new(
        stream: RecvStream,
        length: Option<u64>,
        progress: Arc<Progress>,
        transfer: Option<Arc<Transfer>>,
    ) -> Self {
        Self { stream: Some(stream), length, progress, transfer, data_ended: false }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let polled = stream.poll_data(cx);
        let mut pace = self.progress.pace.lock();
        let Poll::Ready(data) = polled else {
            pace.waiting();
            return Poll::Pending;
        };
        match data {
            Some(Ok(data)) => {
                pace.arrived(data.len());
                let _ = stream.flow_control().release_capacity(data.len());
                self.progress.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                if let Some(transfer) = &self.transfer {
                    transfer.add(data.len() as u64);
                }
                Poll::Ready(Some(Ok(data)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(BodyError::ClientGone))),
            None => Poll::Ready(None),
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while !this.data_ended {
            match ready!(this.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(data) => return Poll::Ready(Some(data.map(Frame::data))),
                None => this.data_ended = true,
            }
        }
        let Some(stream) = &mut this.stream else { return Poll::Ready(None) };
        let trailers = ready!(stream.poll_trailers(cx));
        this.progress.done.store(true, Ordering::Relaxed);
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(_) => Some(Err(BodyError::ClientGone)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.progress.received.load(Ordering::Relaxed))),
            None => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.progress.done.load(Ordering::Relaxed) {
            *self.progress.unread.lock() = self.stream.take();
        }
        self.progress.done.store(true, Ordering::Relaxed);
        if let Some(transfer) = &self.transfer {
            transfer.done.store(true, Ordering::Relaxed);
        }
    }
}
