use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use doorstep_http::BodyError;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::lines::StreamPlace;
use super::upload::Sending;
use crate::ProxyError;
use crate::headers::strip_hop_by_hop;
use crate::pool::InFlight;

/// A response's body from a stream, with its trailers. What is left of the request is sent meanwhile. Dropping it
/// cancels the stream.
pub struct StreamBody {
    recv: RecvStream,
    sending: Option<Sending>,
    /// Bytes still to come, where that is known.
    left: Option<u64>,
    state: State,
    idle: Option<Pin<Box<Sleep>>>,
    progress: bool,
    most_idle: Duration,
    account: Option<(StreamPlace, Option<InFlight>)>,
}

enum State {
    Data,
    Trailers,
    Done,
}

impl StreamBody {
    pub fn new(
        recv: RecvStream,
        sending: Sending,
        length: Option<u64>,
        most_idle: Duration,
        account: (StreamPlace, Option<InFlight>),
    ) -> Self {
        let sending = (!sending.is_done()).then_some(sending);
        let (idle, account) = (None, Some(account));
        Self { recv, sending, left: length, state: State::Data, idle, progress: false, most_idle, account }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        loop {
            match self.state {
                State::Data => match ready!(self.recv.poll_data(cx)).transpose()? {
                    Some(data) if data.is_empty() => {}
                    Some(data) => {
                        // The room is given back as the client takes what came, not before.
                        self.recv.flow_control().release_capacity(data.len())?;
                        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    None => self.state = State::Trailers,
                },
                State::Trailers => {
                    let trailers = ready!(self.recv.poll_trailers(cx))?;
                    self.finish();
                    let Some(mut trailers) = trailers else { return Poll::Ready(None) };
                    strip_hop_by_hop(&mut trailers);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }

    fn finish(&mut self) {
        self.state = State::Done;
        self.sending = None;
        self.idle = None;
        self.account = None;
    }

    fn fail(&mut self, error: io::Error) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.finish();
        Poll::Ready(Some(Err(BodyError::Upstream(error))))
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(sending) = &mut this.sending {
            match sending.poll(cx, &mut this.progress) {
                Poll::Ready(Ok(())) => this.sending = None,
                Poll::Ready(Err(ProxyError::RequestBody(error))) => {
                    this.finish();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
        }
        match this.poll_next(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                this.progress = true;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = if error.is_io() { error.into_io() } else { Some(io::Error::other(error.to_string())) };
                this.fail(error.unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()))
            }
            Poll::Pending => {
                let idle = this.idle.get_or_insert_with(|| Box::pin(sleep(this.most_idle)));
                while idle.as_mut().poll(cx).is_ready() {
                    if !std::mem::take(&mut this.progress) {
                        return this.fail(io::ErrorKind::TimedOut.into());
                    }
                    idle.as_mut().reset(Instant::now() + this.most_idle);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
