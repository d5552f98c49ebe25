use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use doorstep_net::Io;
use doorstep_proto::pagekite::StreamEvent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Link, Machine, Parked};
use crate::limits::READ;

/// Moves the bytes of one tunnel between its machine and its connection. Nothing moves but while somebody waits for
/// [`Self::next`].
pub(crate) struct Driver<M> {
    link: Link<M>,
    io: Io,
    buffer: Box<[u8]>,
    alarm: Pin<Box<Sleep>>,
    /// Something was written and not flushed.
    unflushed: bool,
    /// The connection is of no more use.
    broken: bool,
}

impl<M: Machine> Driver<M> {
    pub fn new(link: Link<M>, io: Io) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now()));
        Self { link, io, buffer: vec![0; READ].into(), alarm, unflushed: false, broken: false }
    }

    /// The next event that is not about a stream that is known already; `None` once the tunnel ended and its last words
    /// were written. May be dropped and called again.
    pub async fn next(&mut self) -> Option<M::Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        let shared = self.link.shared.clone();
        shared.driver.register(cx.waker());
        loop {
            let mut state = shared.state.lock();
            state.machine.tick(shared.started.elapsed());
            while let Some(event) = state.machine.next_event() {
                match M::stream_event(&event) {
                    Some(StreamEvent::Opened { sid, .. }) => {
                        state.streams.insert(sid.clone(), Parked::default());
                        return Poll::Ready(Some(event));
                    }
                    Some(known) => state.happened(known),
                    None => {
                        if M::is_end(&event) {
                            state.end();
                        }
                        return Poll::Ready(Some(event));
                    }
                }
            }
            let wrote = self.write(&mut state.machine, cx);
            if wrote {
                state.wake_openers();
            }
            if self.broken && state.over {
                return Poll::Ready(None);
            }
            let read = !self.broken && self.read(&mut state.machine, cx);
            if wrote || read {
                continue;
            }
            if state.over && state.machine.output().is_empty() && !self.unflushed {
                drop(state);
                // The other side learns that nothing more comes.
                let _ = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
                return Poll::Ready(None);
            }
            let Some(deadline) = state.machine.deadline() else { return Poll::Pending };
            drop(state);
            self.alarm.as_mut().reset((shared.started + deadline).into());
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether anything was written, or it became clear that nothing can be.
    fn write(&mut self, machine: &mut M, cx: &mut Context<'_>) -> bool {
        if self.broken {
            return false;
        }
        let mut wrote = false;
        while !machine.output().is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, machine.output()) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    machine.wrote(bytes);
                    wrote = true;
                    self.unflushed = true;
                }
                Poll::Ready(_) => return self.break_off(machine),
                Poll::Pending => break,
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => return self.break_off(machine),
                Poll::Pending => {}
            }
        }
        wrote
    }

    /// Whether anything was read, or the connection's end was.
    fn read(&mut self, machine: &mut M, cx: &mut Context<'_>) -> bool {
        if !machine.wants_input() {
            return false;
        }
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                machine.receive(buffer.filled());
                true
            }
            Poll::Ready(_) => self.break_off(machine),
            Poll::Pending => false,
        }
    }

    fn break_off(&mut self, machine: &mut M) -> bool {
        self.broken = true;
        self.unflushed = false;
        machine.hang_up();
        true
    }
}

/// However the tunnel's owner leaves, its streams learn of it.
impl<M> Drop for Driver<M> {
    fn drop(&mut self) {
        self.link.shared.state.lock().end();
    }
}
