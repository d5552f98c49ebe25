use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use doorstep_proto::tunnel::limits::MAX_DATA;
use doorstep_proto::tunnel::{Code, Role, Sharing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shell;
use super::limits::VECTORED;
use super::state::{State, now};

/// One stream of bytes: shutting it down ends this side's direction only. One that is dropped before both directions ended
/// is reset. Or one flow of datagrams: one for each read (what does not fit the buffer is lost) and each
/// write; empty ones are not handed out, for they would look like the end.
///
/// After a reset by the peer, reads and writes fail with [`io::ErrorKind::ConnectionReset`]; with an
/// [`OpenFailed`](crate::OpenFailed) inside where the target was never reached.
pub struct LinkStream {
    shell: Arc<Shell>,
    stream: u32,
    code: Code,
}

impl LinkStream {
    pub(super) fn new(shell: Arc<Shell>, stream: u32) -> Self {
        Self { shell, stream, code: Code::StreamReset }
    }

    /// Agent: tells the relay that the target took the connection. It is sent with the first bytes, or soon.
    pub fn accept(&self) {
        let mut state = self.shell.state.lock();
        if state.role == Role::Agent {
            state.machine.accept(self.stream);
            state.settle();
            state.wake_link();
        }
    }

    /// Ends it at once, both ways, with a reason.
    pub fn reset(mut self, code: Code) {
        self.code = code;
    }

    /// Relay: waits until the agent reached its target.
    ///
    /// # Errors
    /// What reading would fail with.
    pub async fn accepted(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            let mut state = self.shell.state.lock();
            loop {
                let direct = state.machine.direct(self.stream) > 0;
                match state.slots.get(&self.stream) {
                    Some(slot) if direct || slot.accepted || slot.finished || slot.holds() => {
                        return Poll::Ready(Ok(()));
                    }
                    _ => {}
                }
                if let Some(error) = state.error(self.stream) {
                    return Poll::Ready(Err(error));
                }
                let waits = state.sharing == Sharing::Shared
                    || state.exclusive_read(cx, self.stream, &mut ReadBuf::new(&mut [])).is_pending();
                if waits && let Some(slot) = state.slots.get_mut(&self.stream) {
                    slot.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl Drop for LinkStream {
    fn drop(&mut self) {
        self.shell.state.lock().leave(self.stream, self.code);
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shell.state.lock();
        let state = &mut *state;
        let Some(slot) = state.slots.get_mut(&self.stream) else { return Poll::Ready(Err(reset())) };
        slot.reader = None;
        if slot.holds() {
            let taken = slot.take(buf);
            if !slot.datagrams && state.sharing == Sharing::Shared {
                state.machine.consumed(self.stream, taken);
                state.settle();
                if state.machine.wants_transmit() {
                    state.wake_link();
                }
            }
            return Poll::Ready(Ok(()));
        }
        if slot.finished || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = state.error(self.stream) {
            return Poll::Ready(Err(error));
        }
        let read = match state.sharing {
            Sharing::Exclusive => state.exclusive_read(cx, self.stream, buf),
            Sharing::Shared => Poll::Pending,
        };
        if read.is_pending()
            && let Some(slot) = state.slots.get_mut(&self.stream)
        {
            slot.reader = Some(cx.waker().clone());
        }
        read
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shell.state.lock();
        let state = &mut *state;
        let Some(slot) = state.slots.get_mut(&self.stream) else { return Poll::Ready(Err(reset())) };
        slot.writer = None;
        let datagrams = slot.datagrams;
        if let Some(error) = state.error(self.stream) {
            return Poll::Ready(Err(error));
        }
        if !state.machine.open_ends(self.stream).0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = match state.sharing {
            _ if datagrams => state.send_datagram(self.stream, bufs),
            Sharing::Exclusive => state.exclusive_write(cx, self.stream, bufs),
            Sharing::Shared => state.shared_write(self.stream, bufs),
        };
        if written.is_pending()
            && let Some(slot) = state.slots.get_mut(&self.stream)
        {
            slot.writer = Some(cx.waker().clone());
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shell.state.lock().flush(cx, self.stream)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shell.state.lock();
        if let Some(error) = state.error(self.stream) {
            return Poll::Ready(Err(error));
        }
        state.machine.finish(self.stream);
        state.settle();
        match state.sharing {
            Sharing::Exclusive => state.flush(cx, self.stream),
            Sharing::Shared => state.shared_shutdown(cx, self.stream),
        }
    }
}

fn total(bufs: &[IoSlice<'_>]) -> usize {
    bufs.iter().map(|buf| buf.len()).sum()
}

/// The first `length` bytes in one piece.
fn gather(bufs: &[IoSlice<'_>], length: usize) -> Bytes {
    let mut all = BytesMut::with_capacity(length);
    for buf in bufs {
        all.extend_from_slice(&buf[..buf.len().min(length - all.len())]);
    }
    all.freeze()
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl State {
    /// Reads from the connection in the task of the stream's user: bytes of the stream straight into its buffer.
    fn exclusive_read(&mut self, cx: &mut Context<'_>, stream: u32, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pause(false);
        self.flush_beside(cx, stream);
        let before = buf.filled().len();
        while let Some(wire) = &mut self.wire {
            let direct = self.machine.direct(stream);
            if direct == 0 {
                // Bytes that are there are not held up by what may come next.
                if buf.filled().len() > before {
                    break;
                }
                let mut message = [0; 256];
                let most = self.machine.needs().min(message.len());
                match ready!(wire.poll_read(cx, &mut message[..most])) {
                    Ok(read) if read > 0 => self.received(&message[..read]),
                    _ => self.lost(),
                }
            } else {
                if buf.remaining() == 0 {
                    break;
                }
                let space = buf.initialize_unfilled_to(direct.min(buf.remaining()));
                match wire.poll_read(cx, space) {
                    Poll::Ready(Ok(read)) if read > 0 => {
                        buf.advance(read);
                        self.machine.passed(now(), read);
                        self.unheard = 0;
                        self.traffic.received += read as u64;
                        continue;
                    }
                    Poll::Ready(_) => self.lost(),
                    Poll::Pending if buf.filled().len() > before => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(slot) = self.slots.get_mut(&stream) else { return Poll::Ready(Err(reset())) };
            if slot.holds() {
                slot.take(buf);
            } else if buf.filled().len() == before && !slot.finished {
                match self.error(stream) {
                    Some(error) => return Poll::Ready(Err(error)),
                    None if buf.remaining() == 0 => return Poll::Ready(Ok(())),
                    None => continue,
                }
            }
            break;
        }
        match self.wire.is_none() && buf.filled().len() == before {
            true => Poll::Ready(self.error(stream).map_or(Ok(()), Err)),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Before its user waits for an answer: what was written must be on its way. If a writer waits, it sees to that itself.
    fn flush_beside(&mut self, cx: &mut Context<'_>, stream: u32) {
        let waits = self.slots.get(&stream).is_some_and(|slot| slot.writer.is_some());
        let dirty = self.wire.as_ref().is_some_and(super::wire::Wire::is_dirty) || self.machine.wants_transmit();
        if dirty && !waits {
            let _ = self.transmit(cx);
        }
    }

    /// Writes to the connection in the task of the stream's user: one frame, as large as fits one write.
    fn exclusive_write(&mut self, cx: &mut Context<'_>, stream: u32, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(wire) = &mut self.wire
            && wire.is_dirty()
            && ready!(wire.poll_flush(cx)).is_err()
        {
            self.lost();
        }
        let bufs = &bufs[..bufs.len().min(VECTORED)];
        let length = total(bufs).min(MAX_DATA);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let Some(wire) = &mut self.wire else { return Poll::Ready(Err(self.error(stream).unwrap_or_else(reset))) };
        let machine = &mut self.machine;
        match wire.write_now(cx, |head| machine.transmit_direct(now(), stream, length, head), bufs, length) {
            Ok(true) => {}
            Ok(false) => {
                // Something is queued before it.
                ready!(self.transmit(cx));
                if !self.machine.send(stream, gather(bufs, length)) {
                    return Poll::Ready(Err(self.error(stream).unwrap_or_else(reset)));
                }
                let _ = self.transmit(cx);
            }
            Err(_) => {
                self.lost();
                return Poll::Ready(Err(self.error(stream).unwrap_or_else(reset)));
            }
        }
        self.unheard += length as u64;
        self.traffic.sent += length as u64;
        Poll::Ready(Ok(length))
    }

    fn shared_write(&mut self, stream: u32, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wanted = total(bufs);
        let room = self.machine.room(stream).min(wanted);
        if room == 0 && wanted > 0 {
            return Poll::Pending;
        }
        let taken = self.machine.send(stream, gather(bufs, room));
        self.settle();
        self.wake_link();
        self.traffic.sent += room as u64;
        Poll::Ready(if taken { Ok(room) } else { Err(reset()) })
    }

    /// Ready when the end was sent, after everything before it: to drop the stream earlier would be to reset it.
    fn shared_shutdown(&mut self, cx: &mut Context<'_>, stream: u32) -> Poll<io::Result<()>> {
        if self.machine.end_is_sent(stream) {
            return Poll::Ready(Ok(()));
        }
        self.wake_link();
        if let Some(slot) = self.slots.get_mut(&stream) {
            self.closing += usize::from(!std::mem::replace(&mut slot.closing, true));
            slot.writer = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn send_datagram(&mut self, stream: u32, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = total(bufs);
        if length > MAX_DATA {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        let taken = self.machine.send_datagram(stream, gather(bufs, length));
        self.wake_link();
        self.traffic.sent += length as u64;
        Poll::Ready(if taken { Ok(length) } else { Err(reset()) })
    }

    fn flush(&mut self, cx: &mut Context<'_>, stream: u32) -> Poll<io::Result<()>> {
        if self.sharing == Sharing::Shared {
            self.wake_link();
            return Poll::Ready(Ok(()));
        }
        if let Some(slot) = self.slots.get_mut(&stream) {
            slot.writer = None;
        }
        if self.transmit(cx).is_pending() {
            if let Some(slot) = self.slots.get_mut(&stream) {
                slot.writer = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(self.error(stream).map_or(Ok(()), Err))
    }
}
