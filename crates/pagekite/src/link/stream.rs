use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use doorstep_proto::pagekite::{FrontEnd, Opening, Read, Sid};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Link, Machine, Parked};

/// One visitor's stream. Dropped before both halves are finished, it is reset.
pub(crate) struct KiteStream<M: Machine> {
    link: Link<M>,
    sid: Sid,
    /// Came, and did not fit into the reader's buffer.
    rest: Bytes,
    /// All was read.
    ended: bool,
    /// Nothing more will be written.
    finished: bool,
}

impl<M: Machine> KiteStream<M> {
    pub(super) fn new(link: Link<M>, sid: Sid) -> Self {
        Self { link, sid, rest: Bytes::new(), ended: false, finished: false }
    }
}

impl<M: Machine> AsyncRead for KiteStream<M> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() && !this.ended {
            let mut state = this.link.shared.state.lock();
            let paused = !state.machine.wants_input();
            match state.machine.read(&this.sid) {
                Read::Data(data) => this.rest = data,
                Read::Finished => this.ended = true,
                Read::Gone => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Read::Empty => {
                    let over = state.over;
                    let Some(parked) = state.streams.get_mut(&this.sid).filter(|_| !over) else {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    };
                    parked.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            // There is an acknowledgement to be written, or room for more.
            if paused || !state.machine.output().is_empty() {
                this.link.shared.driver.wake();
            }
        }
        let bytes = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..bytes]);
        this.rest.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<M: Machine> AsyncWrite for KiteStream<M> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.link.shared.state.lock();
        let state = &mut *state;
        let open = !self.finished && !state.over;
        let Some(parked) = state.streams.get_mut(&self.sid).filter(|parked| open && !parked.stopped) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let sent = state.machine.send(&self.sid, buf);
        if sent == 0 && !buf.is_empty() {
            parked.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.link.shared.driver.wake();
        Poll::Ready(Ok(sent))
    }

    /// The driver writes as soon as it can.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.finished, true) {
            this.link.shared.state.lock().machine.finish(&this.sid);
            this.link.shared.driver.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl<M: Machine> Drop for KiteStream<M> {
    fn drop(&mut self) {
        let mut state = self.link.shared.state.lock();
        if state.streams.remove(&self.sid).is_some() {
            state.machine.reset(&self.sid);
            state.wake_openers();
            self.link.shared.driver.wake();
        }
    }
}

/// A stream to a back-end, opened with the first bytes that are written: they go in the same frame, and say whether it is
/// a websocket.
pub(crate) struct LazyStream {
    link: Link<FrontEnd>,
    opening: Opening,
    /// A request for a websocket goes to a kite of that name.
    pub websockets: bool,
    open: Option<KiteStream<FrontEnd>>,
}

impl LazyStream {
    pub(super) fn new(link: Link<FrontEnd>, opening: Opening) -> Self {
        Self { link, opening, websockets: false, open: None }
    }

    /// Opens it with the beginning of `data`, and gives how much that was.
    pub fn poll_open(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.link.shared.state.lock();
        if state.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.websockets && asks_for_websocket(data) {
            self.opening.protocol = "websocket".to_owned();
        }
        let Some((sid, sent)) = state.machine.open(&self.opening, data) else {
            if !state.openers.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.openers.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        state.streams.insert(sid.clone(), Parked::default());
        drop(state);
        self.link.shared.driver.wake();
        self.open = Some(self.link.stream(sid));
        Poll::Ready(Ok(sent))
    }

    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut KiteStream<FrontEnd>>>> {
        if self.open.is_none() {
            std::task::ready!(self.poll_open(cx, b""))?;
        }
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        Poll::Ready(self.open.as_mut().map(Pin::new).ok_or_else(gone))
    }
}

/// Whether a request's head, as far as it is here, asks for it (RFC 6455 section 4.1).
fn asks_for_websocket(head: &[u8]) -> bool {
    let end = memchr::memmem::find(head, b"\r\n\r\n").unwrap_or(head.len());
    let lines = head.get(..end).unwrap_or_default().split(|&byte| byte == b'\n');
    lines.skip(1).any(|line| {
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            return false;
        };
        name.eq_ignore_ascii_case("upgrade") && value.trim().eq_ignore_ascii_case("websocket")
    })
}

impl AsyncRead for LazyStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.get_mut().poll_opened(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for LazyStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.open {
            Some(open) => Pin::new(open).poll_write(cx, buf),
            None if buf.is_empty() => Poll::Ready(Ok(0)),
            None => this.poll_open(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.get_mut().poll_opened(cx))?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websockets_are_told_by_their_head() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nupgrade:websocket\r\n", true),
            ("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\nUpgrade: websocket\r\n", false),
            ("Upgrade: websocket\r\n", false),
        ] {
            assert_eq!(asks_for_websocket(head.as_bytes()), expected, "{head}");
        }
    }
}
