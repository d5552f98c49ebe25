use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::{Body, BodyError};
use doorstep_proto::http1;
use http_body::{Body as _, Frame};

use super::Connection;
use crate::ProxyError;
use crate::limits;

/// A request body on its way to the upstream.
pub struct Upload {
    body: Body,
    framing: UploadFraming,
    state: State,
    /// The body once more, where it is in memory.
    again: Option<Bytes>,
    /// Whether any of a streamed body was taken.
    begun: bool,
    /// Whether the last thing waited for was the client rather than the upstream.
    awaits_client: bool,
}

/// How the upstream is told where the request body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFraming {
    None,
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for `100 Continue`.
    Held,
    /// Bytes of the body that are still to come, where the length is known.
    Sending { left: u64 },
    /// All is handed over, though it may not all be written.
    Sent,
    /// The upstream takes no more.
    Abandoned,
}

impl Upload {
    /// No body.
    pub fn none() -> Self {
        let (body, framing, state) = (Body::Empty, UploadFraming::None, State::Sent);
        Self { body, framing, state, again: None, begun: false, awaits_client: false }
    }

    /// Prepares `body` for sending. A short body of unknown length that is there already gets a length.
    ///
    /// # Errors
    /// [`ProxyError::RequestBody`] when the body fails while it is being gathered.
    pub async fn prepare(body: Body, hold: bool) -> Result<Self, ProxyError> {
        let body =
            if body.len().is_none() && !hold { gather(body).await.map_err(ProxyError::RequestBody)? } else { body };
        let framing = match body.len() {
            Some(0) => UploadFraming::None,
            Some(length) => UploadFraming::Length(length),
            None => UploadFraming::Chunked,
        };
        let again = match &body {
            Body::Full(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let mut upload = Self { body, framing, state: State::Sent, again, begun: false, awaits_client: false };
        upload.state = match framing {
            UploadFraming::None => State::Sent,
            _ if hold => State::Held,
            _ => upload.sending(),
        };
        Ok(upload)
    }

    pub fn framing(&self) -> UploadFraming {
        self.framing
    }

    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Whether all of it is handed over.
    pub fn is_sent(&self) -> bool {
        self.state == State::Sent
    }

    /// Whether it could be sent once more after having been sent.
    pub fn is_repeatable(&self) -> bool {
        self.framing == UploadFraming::None || self.again.is_some()
    }

    /// Whether it is the client that keeps it from getting on.
    pub fn awaits_client(&self) -> bool {
        self.awaits_client
    }

    /// Lets a held body go.
    pub fn release(&mut self) {
        if self.is_held() {
            self.state = self.sending();
        }
    }

    /// Sends no more of it.
    pub fn abandon(&mut self) {
        self.state = State::Abandoned;
        self.body = Body::Empty;
    }

    /// The same body from its beginning, where that is possible.
    pub fn rewound(mut self, hold: bool) -> Option<Self> {
        if let Some(bytes) = &self.again {
            self.body = Body::Full(bytes.clone());
        } else if self.begun {
            return None;
        }
        self.state = match self.framing {
            UploadFraming::None => State::Sent,
            _ if hold => State::Held,
            _ => self.sending(),
        };
        Some(self)
    }

    /// The next piece of the body, for a protocol that frames it by itself.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(cx)
    }

    /// Writes what `connection` has to write and as much of the body as there is. Ready when all is written.
    pub fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), ProxyError>> {
        loop {
            self.awaits_client = false;
            if let State::Sending { left } = self.state
                && connection.data.is_empty()
                && connection.tail.is_empty()
            {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => self.stage(frame, left, connection)?,
                    Poll::Pending => self.awaits_client = true,
                }
            }
            ready!(connection.poll_write_out(cx)).map_err(ProxyError::Broken)?;
            match self.state {
                State::Sent | State::Abandoned => return Poll::Ready(Ok(())),
                State::Held => return Poll::Pending,
                State::Sending { .. } if self.awaits_client => return Poll::Pending,
                State::Sending { .. } => {}
            }
        }
    }

    fn sending(&self) -> State {
        State::Sending { left: if let UploadFraming::Length(length) = self.framing { length } else { u64::MAX } }
    }

    /// Puts one frame where `connection` will write it from.
    fn stage(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
        left: u64,
        connection: &mut Connection,
    ) -> Result<(), ProxyError> {
        self.begun = true;
        let chunked = self.framing == UploadFraming::Chunked;
        let Some(frame) = frame.transpose().map_err(ProxyError::RequestBody)? else {
            if chunked {
                connection.out.extend_from_slice(b"0\r\n\r\n");
            } else {
                // A body that is shorter than announced would make the next request part of this one.
                return Err(ProxyError::RequestBody(BodyError::Malformed("shorter than its Content-Length")));
            }
            self.state = State::Sent;
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) if chunked => {
                http1::write_chunk_size(&mut connection.out, data.len());
                connection.data = data;
                connection.tail = b"\r\n";
            }
            Ok(data) => {
                let left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(ProxyError::RequestBody(BodyError::Malformed("longer than its Content-Length")))?;
                if connection.out.len() + data.len() <= limits::INLINE_BODY && left == 0 {
                    connection.out.extend_from_slice(&data);
                } else {
                    connection.data = data;
                }
                self.state = if left == 0 { State::Sent } else { State::Sending { left } };
            }
            Err(frame) => {
                if let (true, Ok(trailers)) = (chunked, frame.into_trailers()) {
                    connection.out.extend_from_slice(b"0\r\n");
                    http1::write_fields(&mut connection.out, &trailers);
                    connection.out.extend_from_slice(b"\r\n");
                    self.state = State::Sent;
                }
            }
        }
        Ok(())
    }
}

/// Takes the frames that are there already, up to a bound. If that is all of the body, it is in memory now.
async fn gather(mut body: Body) -> Result<Body, BodyError> {
    let mut frames = VecDeque::new();
    let mut bytes = 0;
    let ended = loop {
        if bytes >= limits::GATHERED_BODY {
            break false;
        }
        match poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await {
            Poll::Pending => break false,
            Poll::Ready(None) => break true,
            Poll::Ready(Some(frame)) => {
                let frame = frame?;
                bytes += frame.data_ref().map_or(0, Bytes::len);
                let trailers = frame.is_trailers();
                frames.push_back(frame);
                if trailers {
                    break false;
                }
            }
        }
    };
    if frames.is_empty() {
        return Ok(if ended { Body::Empty } else { body });
    }
    if ended {
        let mut whole = Vec::with_capacity(bytes);
        frames.iter().filter_map(Frame::data_ref).for_each(|data| whole.extend_from_slice(data));
        return Ok(whole.into());
    }
    Ok(Body::stream(Gathered { frames, rest: body }))
}

/// A body some of whose frames were taken off its front.
struct Gathered {
    frames: VecDeque<Frame<Bytes>>,
    rest: Body,
}

impl http_body::Body for Gathered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}
