use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorstep_model::Blame;
use doorstep_net::Io;
use doorstep_proto::http1::{write_chunk_size, write_decimal, write_field, write_fields, write_status_line};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Frame;
use tokio::io::AsyncWrite;

use super::wire::Wire;
use crate::body::FileRange;
use crate::limits::{COALESCE, COPIED, KEEP_ALIVE_MARGIN, Limits};
use crate::record::Record;
use crate::timer::Timer;
use crate::{Body, BodyError, Outcome, Response, sendfile};

/// What the response's framing depends on.
pub(super) struct Sending<'a> {
    pub method: &'a Method,
    pub version: Version,
    /// Whether the client wants to use the connection again. One that does not may close its side and still wait for the answer.
    pub client_keeps: bool,
    pub draining: bool,
    /// The client asked by `Connection: keep-alive`, so it may want to know for how long.
    pub asked_to_keep: bool,
}

#[derive(Debug)]
pub(super) enum SendError {
    ClientGone,
    Body(BodyError),
}

impl SendError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::ClientGone => Outcome::ClientGone,
            Self::Body(error) if error.blame() == Blame::Client => Outcome::ClientGone,
            Self::Body(_) => Outcome::Broken,
        }
    }
}

/// How a response's body is delimited on the wire (RFC 9112 section 6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    NoBody,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Writes the whole response. `true` if the connection's framing is intact and both sides want to keep it.
pub(super) async fn send(
    wire: &Wire,
    response: &mut Response,
    sending: &Sending<'_>,
    record: &mut Record<'_>,
    timer: &mut Timer,
    limits: &Limits,
) -> Result<bool, SendError> {
    let framing = framing(response, sending);
    let keep = sending.client_keeps && !sending.draining && framing != Framing::UntilClose;
    let mut head = write_head(response, sending, framing, keep.then_some(limits.keep_alive));
    let mut writer = Writer { wire, record, timer, limits, unflushed: false, end_means_gone: sending.client_keeps };
    let body = response.body.take();
    let total = match framing {
        Framing::NoBody => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::UntilClose => None,
    };
    writer.record.responding(response.status, response.kind, total);
    match body {
        _ if framing == Framing::NoBody => writer.write(&[&head], 0).await?,
        Body::Full(bytes) if bytes.len() <= COALESCE => {
            if bytes.len() <= COPIED {
                head.extend_from_slice(&bytes);
                writer.write(&[&head], bytes.len()).await?;
            } else {
                writer.write(&[&head, &bytes], bytes.len()).await?;
            }
        }
        Body::File(range) if writer.is_plain_tcp() => {
            writer.write_head_of_file(&head).await?;
            writer.write_file(range).await?;
        }
        // Boxed: the short answers above would have to make room for it.
        body => Box::pin(writer.write_stream(head, body, framing)).await?,
    }
    writer.flush().await?;
    Ok(keep)
}

/// Writes bytes that are no response of a service: refusals, 1xx.
pub(super) async fn write_all(
    wire: &Wire,
    bytes: Bytes,
    timer: &mut Timer,
    deadline: Instant,
) -> Result<(), SendError> {
    let mut left = &bytes[..];
    std::future::poll_fn(|cx| {
        let mut inner = wire.lock();
        while !left.is_empty() {
            match inner.poll_write_parts(cx, &[IoSlice::new(left)]) {
                Poll::Ready(Ok(taken)) => left = left.get(taken..).unwrap_or_default(),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(SendError::ClientGone)),
                Poll::Pending => return timer.poll(cx, deadline).map(|()| Err(SendError::ClientGone)),
            }
        }
        Pin::new(&mut inner.io).poll_flush(cx).map_err(|_| SendError::ClientGone)
    })
    .await
}

fn framing(response: &mut Response, sending: &Sending<'_>) -> Framing {
    let status = response.status;
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        response.headers.remove(header::CONTENT_LENGTH);
        return Framing::NoBody;
    }
    let known = response.body.len();
    if *sending.method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        // What GET would say, if the service knows; an empty body here means that it does not.
        if let Some(length) = known.filter(|length| *length > 0) {
            response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        return Framing::NoBody;
    }
    match known {
        Some(length) => Framing::Length(length),
        None if sending.version == Version::HTTP_10 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}

fn write_head(response: &Response, sending: &Sending<'_>, framing: Framing, keep: Option<Duration>) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    write_status_line(&mut head, sending.version, response.status);
    let mut dated = false;
    for (name, value) in &response.headers {
        if is_ours(name, framing) {
            continue;
        }
        dated |= name == header::DATE;
        write_field(&mut head, name, value.as_bytes());
    }
    match framing {
        Framing::Length(length) => {
            head.extend_from_slice(b"Content-Length: ");
            write_decimal(&mut head, length);
            head.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::NoBody | Framing::UntilClose => {}
    }
    match keep {
        None => head.extend_from_slice(b"Connection: close\r\n"),
        Some(idle) => {
            if sending.version == Version::HTTP_10 {
                head.extend_from_slice(b"Connection: keep-alive\r\n");
            }
            // A client that heeds this (RFC 2068 section 19.7.1.1) gives the connection up before we do, and so never
            // sends a request into its closing.
            let told = idle.saturating_sub(KEEP_ALIVE_MARGIN).as_secs();
            if sending.asked_to_keep && told > 0 {
                head.extend_from_slice(b"Keep-Alive: timeout=");
                head.extend_from_slice(told.to_string().as_bytes());
                head.extend_from_slice(b"\r\n");
            }
        }
    }
    if !dated {
        head.extend_from_slice(b"Date: ");
        head.extend_from_slice(crate::date::now().as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Whether it is not for a service to say: how this connection delimits bodies, and whether it stays open. The length
/// that GET would get is the service's own word where there is no body.
fn is_ours(name: &HeaderName, framing: Framing) -> bool {
    name == header::CONNECTION
        || name == header::TRANSFER_ENCODING
        || name == header::UPGRADE
        || (name == header::CONTENT_LENGTH && framing != Framing::NoBody)
}

struct Writer<'a, 'r> {
    wire: &'a Wire,
    record: &'a mut Record<'r>,
    timer: &'a mut Timer,
    limits: &'a Limits,
    /// Bytes may wait inside TLS.
    unflushed: bool,
    /// The client closing its side means that nobody waits for the rest.
    end_means_gone: bool,
}

impl Writer<'_, '_> {
    fn is_plain_tcp(&self) -> bool {
        matches!(self.wire.lock().io, Io::Tcp(_))
    }

    /// Writes all of `parts`, of which `body_bytes` are body.
    async fn write(&mut self, parts: &[&[u8]], body_bytes: usize) -> Result<(), SendError> {
        let mut slices: [IoSlice<'_>; 4] =
            std::array::from_fn(|at| IoSlice::new(parts.get(at).copied().unwrap_or(&[])));
        let mut left = &mut slices[..parts.len().min(4)];
        let mut stalled_at = None;
        let (wire, stall) = (self.wire, self.limits.write_stall);
        let timer = &mut *self.timer;
        std::future::poll_fn(|cx| {
            let mut inner = wire.lock();
            // Skips empty parts, so that a write never starts with nothing.
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match inner.poll_write_parts(cx, left) {
                    Poll::Ready(Ok(taken)) => {
                        stalled_at = None;
                        IoSlice::advance_slices(&mut left, taken);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(SendError::ClientGone)),
                    Poll::Pending => {
                        let since = *stalled_at.get_or_insert_with(Instant::now);
                        return timer.poll(cx, since + stall).map(|()| Err(SendError::ClientGone));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.unflushed = true;
        self.record.sent(body_bytes as u64);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SendError> {
        if !std::mem::take(&mut self.unflushed) {
            return Ok(());
        }
        let mut stalled_at = None;
        let (wire, timer, stall) = (self.wire, &mut *self.timer, self.limits.write_stall);
        std::future::poll_fn(|cx| match Pin::new(&mut wire.lock().io).poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| SendError::ClientGone)),
            Poll::Pending => {
                let since = *stalled_at.get_or_insert_with(Instant::now);
                timer.poll(cx, since + stall).map(|()| Err(SendError::ClientGone))
            }
        })
        .await
    }

    async fn write_stream(&mut self, head: Vec<u8>, mut body: Body, framing: Framing) -> Result<(), SendError> {
        let mut head = Some(head);
        let mut left = if let Framing::Length(length) = framing { Some(length) } else { None };
        let mut size_line = Vec::new();
        loop {
            if let Body::File(range) = &mut body {
                sendfile::warm(range).await.map_err(|error| SendError::Body(BodyError::File(error)))?;
            }
            let frame = match self.next_frame(&mut body, head.is_some() || self.unflushed).await? {
                Step::Frame(frame) => frame,
                Step::NothingYet => {
                    // What is ready goes out before we wait: a head, an event of a stream.
                    if let Some(head) = head.take() {
                        self.write(&[&head], 0).await?;
                    }
                    self.flush().await?;
                    continue;
                }
                Step::End => return self.finish(head, framing, left, None).await,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return self.finish(head, framing, left, frame.into_trailers().ok()).await,
            };
            if data.is_empty() {
                continue;
            }
            if let Some(left) = &mut left {
                // More than was promised would be read as the next response.
                *left =
                    left.checked_sub(data.len() as u64).ok_or_else(|| broken("the body is longer than announced"))?;
            }
            size_line.clear();
            let after: &[u8] = if framing == Framing::Chunked {
                write_chunk_size(&mut size_line, data.len());
                b"\r\n"
            } else {
                b""
            };
            let head = head.take().unwrap_or_default();
            self.write(&[&head, &size_line, &data, after], data.len()).await?;
        }
    }

    async fn finish(
        &mut self,
        head: Option<Vec<u8>>,
        framing: Framing,
        left: Option<u64>,
        trailers: Option<HeaderMap>,
    ) -> Result<(), SendError> {
        if left.is_some_and(|left| left > 0) {
            return Err(broken("the body is shorter than announced"));
        }
        let mut last = head.unwrap_or_default();
        if framing == Framing::Chunked {
            last.extend_from_slice(b"0\r\n");
            write_fields(&mut last, &trailers.unwrap_or_default());
            last.extend_from_slice(b"\r\n");
        }
        if last.is_empty() { Ok(()) } else { self.write(&[&last], 0).await }
    }

    /// The body's next frame. With `hurry`, says so when there is none yet; otherwise waits for it or for the client to leave.
    async fn next_frame(&mut self, body: &mut Body, hurry: bool) -> Result<Step, SendError> {
        let (wire, end_means_gone) = (self.wire, self.end_means_gone);
        std::future::poll_fn(|cx: &mut Context<'_>| {
            match http_body::Body::poll_frame(Pin::new(&mut *body), cx) {
                Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Ok(Step::Frame(frame))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(SendError::Body(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(Step::End)),
                Poll::Pending if hurry => return Poll::Ready(Ok(Step::NothingYet)),
                Poll::Pending => {}
            }
            let mut inner = wire.lock();
            if end_means_gone && inner.body_done() {
                ready!(inner.poll_closed(cx));
                return Poll::Ready(Err(SendError::ClientGone));
            }
            Poll::Pending
        })
        .await
    }

    /// The head, with a hint to the kernel that more follows, so that both leave in one packet.
    async fn write_head_of_file(&mut self, head: &[u8]) -> Result<(), SendError> {
        let sent = match &self.wire.lock().io {
            Io::Tcp(socket) => sendfile::send_more(socket, head),
            _ => 0,
        };
        self.write(&[head.get(sent..).unwrap_or_default()], 0).await
    }

    async fn write_file(&mut self, mut range: FileRange) -> Result<(), SendError> {
        while range.len > 0 {
            sendfile::warm(&mut range).await.map_err(|error| SendError::Body(BodyError::File(error)))?;
            let mut stalled_at = None;
            let (wire, stall) = (self.wire, self.limits.write_stall);
            let timer = &mut *self.timer;
            let moved = std::future::poll_fn(|cx| {
                let inner = wire.lock();
                let Io::Tcp(socket) = &inner.io else { return Poll::Ready(Err(SendError::ClientGone)) };
                match sendfile::poll_send(socket, &mut range, cx) {
                    Poll::Ready(Ok(0)) => Poll::Ready(Err(broken("the file became shorter"))),
                    Poll::Ready(Ok(moved)) => Poll::Ready(Ok(moved)),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(SendError::ClientGone)),
                    Poll::Pending => {
                        let since = *stalled_at.get_or_insert_with(Instant::now);
                        timer.poll(cx, since + stall).map(|()| Err(SendError::ClientGone))
                    }
                }
            })
            .await?;
            self.record.sent(moved);
        }
        Ok(())
    }
}

enum Step {
    Frame(Frame<Bytes>),
    NothingYet,
    End,
}

fn broken(reason: &'static str) -> SendError {
    SendError::Body(BodyError::Stopped(reason))
}
