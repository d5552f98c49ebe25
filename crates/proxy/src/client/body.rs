use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use doorstep_http::BodyError;
use doorstep_proto::http1::{BodyFraming, ChunkedDecoder, Decoded};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::{Answer, Connection, Upload};
use crate::idle::Home;
use crate::{ProxyError, limits};

/// A response body that reads from its connection when it is asked to, and gives the connection back when it is done.
/// The rest of the request, if any is left, is sent meanwhile.
pub struct UpstreamBody {
    connection: Option<Connection>,
    state: State,
    upload: Option<Upload>,
    /// Where the connection goes afterwards.
    home: Option<Home>,
    reuse: bool,
    /// The longest pause.
    most_idle: Duration,
    inspect: Option<Peek>,
    idle: Option<Pin<Box<Sleep>>>,
    progress: bool,
    want: usize,
    large: Option<LargeReader>,
}

/// Looks at the first bytes of a body once they have passed.
pub type Inspect = Box<dyn FnOnce(&[u8]) + Send>;

struct Peek {
    seen: Vec<u8>,
    inspect: Inspect,
}

enum State {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Done,
}

impl UpstreamBody {
    /// The body that follows `answer`'s head. The connection goes `home` if we may `reuse` it and so says the app.
    pub fn new(answer: Answer, home: Option<Home>, reuse: bool, most_idle: Duration, inspect: Option<Inspect>) -> Self {
        let state = match answer.head.framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Chunked(ChunkedDecoder::default()),
            BodyFraming::UntilClose => State::UntilClose,
        };
        let mut body = Self {
            reuse: reuse && answer.head.keep_alive,
            home,
            most_idle,
            connection: Some(answer.connection),
            upload: Some(answer.upload),
            inspect: inspect.map(|inspect| Peek { seen: Vec::new(), inspect }),
            idle: None,
            progress: false,
            want: limits::SMALL_READ,
            large: None,
            state,
        };
        if matches!(body.state, State::Done) {
            body.finish();
        }
        body
    }

    /// The whole body, if it has been read already with the head. The connection is free again then.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match (&self.state, &mut self.connection) {
            (State::Done, _) => Some(Bytes::new()),
            (State::Length(length), Some(connection)) if *length <= connection.read.len() as u64 => {
                let whole = connection.read.split_to(usize::try_from(*length).ok()?).freeze();
                self.look_at(&whole);
                self.finish();
                Some(whole)
            }
            _ => None,
        }
    }

    /// Ends the body and gives the connection back if it can carry another request.
    fn finish(&mut self) {
        self.state = State::Done;
        self.idle = None;
        if let (Some(large), Some(connection)) = (self.large.take(), &mut self.connection)
            && connection.read.is_empty()
        {
            large.leave(std::mem::take(&mut connection.read));
        }
        if let Some(peek) = self.inspect.take() {
            (peek.inspect)(&peek.seen);
        }
        let sent = self.upload.take().is_none_or(|upload| upload.is_sent());
        // Taken in any case: the member has nothing to do with this any more.
        if let (Some(mut connection), Some(home)) = (self.connection.take(), self.home.take()) {
            // Bytes after the response's end were not asked for: somebody's framing is wrong.
            if self.reuse && sent && connection.is_flushed() && connection.read.is_empty() {
                connection.rest();
                home.put(connection);
            }
        }
    }

    fn look_at(&mut self, data: &[u8]) {
        if let Some(peek) = &mut self.inspect {
            let room = limits::PEEKED_BYTES - peek.seen.len();
            peek.seen.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
            if peek.seen.len() >= limits::PEEKED_BYTES
                && let Some(peek) = self.inspect.take()
            {
                (peek.inspect)(&peek.seen);
            }
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let (Some(upload), Some(connection)) = (&mut self.upload, &mut self.connection) else { return Ok(()) };
        if upload.is_sent() && connection.is_flushed() {
            return Ok(());
        }
        match upload.poll(cx, connection) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(ProxyError::RequestBody(error))) => Err(error),
            Poll::Ready(Err(_)) => {
                upload.abandon();
                self.reuse = false;
                Ok(())
            }
        }
    }

    /// What the read buffer holds for us: a frame, the end, or nothing yet.
    fn take_frame(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        let buffered = connection.read.len();
        let frame = match &mut self.state {
            State::Done => return Poll::Ready(None),
            State::Length(left) if buffered > 0 => {
                let take = buffered.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                let over = *left == 0;
                let data = connection.read.split_to(take).freeze();
                self.look_at(&data);
                if over {
                    self.finish();
                }
                Frame::data(data)
            }
            State::UntilClose if buffered > 0 => {
                let data = connection.read.split().freeze();
                self.look_at(&data);
                Frame::data(data)
            }
            State::Length(_) | State::UntilClose => return Poll::Pending,
            State::Chunked(decoder) => match decoder.decode(&mut connection.read) {
                Ok(Decoded::NeedMore) => return Poll::Pending,
                Ok(Decoded::Data(data)) => {
                    self.look_at(&data);
                    Frame::data(data)
                }
                Ok(Decoded::End(trailers)) => {
                    self.finish();
                    let Some(mut trailers) = trailers else { return Poll::Ready(None) };
                    crate::headers::strip_hop_by_hop(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, format!("malformed {}", error.reason()));
                    return Poll::Ready(Some(Err(self.fail(error))));
                }
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn fail(&mut self, error: io::Error) -> BodyError {
        self.state = State::Done;
        self.connection = None;
        self.upload = None;
        self.home = None;
        BodyError::Upstream(error)
    }

    /// Bytes worth reading at once: all that is left of a known length, and more and more while reads come back full.
    fn choose_want(&mut self) {
        let goal = match self.state {
            State::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => self.want,
        };
        if goal > limits::CROWDED_READ && self.large.is_none() {
            self.large = LargeReader::enter();
            if let (Some(large), Some(connection)) = (&self.large, &mut self.connection)
                && connection.read.is_empty()
            {
                connection.read = large.buffer();
            }
        }
        let most = if self.large.is_some() { limits::LARGE_READ } else { limits::CROWDED_READ };
        self.want = goal.clamp(limits::SMALL_READ, most);
    }
}

impl http_body::Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Err(error) = this.poll_upload(cx) {
            this.fail(io::ErrorKind::ConnectionAborted.into());
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if let Poll::Ready(frame) = this.take_frame() {
                this.progress = true;
                return Poll::Ready(frame);
            }
            this.choose_want();
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            match connection.poll_fill(cx, this.want) {
                Poll::Ready(Ok(0)) if matches!(this.state, State::UntilClose) => {
                    this.reuse = false;
                    this.finish();
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => {
                    let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the app closed the connection");
                    return Poll::Ready(Some(Err(this.fail(error))));
                }
                Poll::Ready(Ok(read)) if read >= this.want => this.want = this.want.saturating_mul(2),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(this.fail(error)))),
                Poll::Pending => {
                    let idle = this.idle.get_or_insert_with(|| Box::pin(sleep(this.most_idle)));
                    while idle.as_mut().poll(cx).is_ready() {
                        if !std::mem::take(&mut this.progress) {
                            return Poll::Ready(Some(Err(this.fail(io::ErrorKind::TimedOut.into()))));
                        }
                        idle.as_mut().reset(Instant::now() + this.most_idle);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Length(left) => SizeHint::with_exact(left),
            State::Done => SizeHint::with_exact(0),
            State::Chunked(_) | State::UntilClose => SizeHint::default(),
        }
    }
}

thread_local! {
    static LARGE_READERS: Cell<usize> = const { Cell::new(0) };
    static SPARE_BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// The right to a large buffer, counted so that very many slow clients cannot fill the memory. The count is of the
/// thread that gives the right; bodies stay on their thread.
struct LargeReader;

impl LargeReader {
    fn enter() -> Option<Self> {
        LARGE_READERS.with(|readers| {
            (readers.get() < limits::LARGE_READERS).then(|| {
                readers.set(readers.get() + 1);
                Self
            })
        })
    }

    /// An empty buffer: one that was left, if there is any.
    fn buffer(&self) -> BytesMut {
        SPARE_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(limits::LARGE_READ))
    }

    /// Leaves a buffer for the next long body.
    fn leave(self, buffer: BytesMut) {
        SPARE_BUFFERS.with_borrow_mut(|spare| {
            if spare.len() < limits::SPARE_BUFFERS {
                spare.push(buffer);
            }
        });
    }
}

impl Drop for LargeReader {
    fn drop(&mut self) {
        let _ = LARGE_READERS.try_with(|readers| readers.set(readers.get().saturating_sub(1)));
    }
}
