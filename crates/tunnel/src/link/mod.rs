//! Data connections: a [`DataLink`](doorstep_proto::tunnel::DataLink) on the bytes of a TLS connection, for both sides.
//!
//! A [`Link`] is the connection. Whoever has it polls it ([`Link::event`]) for as long as it lives: this is what sends signs
//! of life, notices that the peer is gone, and reads while no stream does. A [`LinkHandle`] opens streams (relay) or says
//! for which claims they may come (agent). A [`LinkStream`] is one stream, or one flow of datagrams.
//!
//! - On an *exclusive* connection the stream reads and writes the connection itself, in the task that uses it: nothing is
//!   queued, and back-pressure is that of TCP.
//! - On a *shared* one the [`Link`] reads for all streams, each of which holds what its reader has not taken yet: a window's
//!   worth at most.

mod limits;
mod round_trip;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use doorstep_proto::tunnel::{Code, DataInput, Open, OpenError, Role, Sharing, TunnelError};
use parking_lot::Mutex;
use tokio::time::Sleep;

pub use stream::LinkStream;
pub use transport::{Tls, Transport};

pub(crate) use state::now;
pub(crate) use wire::Wire;

use limits::{LAST_WORDS, READS};
use state::State;

/// A data connection after its greeting. Its streams are reset when it is dropped.
pub struct Link {
    shell: Arc<Shell>,
    timer: Pin<Box<Sleep>>,
    /// Until when its last words are waited for, once it is over.
    last_words: Option<Instant>,
}

/// What happens on a data connection.
pub enum LinkEvent {
    /// Agent: a visitor. [`LinkStream::accept`] when the target took the connection, [`LinkStream::reset`] with the reason
    /// where it did not. Claims that were not allowed do not come here.
    Opened(Open, LinkStream),
    /// A stream is over, and everything of it was sent: an exclusive connection may take the next one.
    Free,
}

/// Opens streams on a connection that somebody else polls.
#[derive(Clone)]
pub struct LinkHandle {
    shell: Arc<Shell>,
}

/// What a connection carried for its streams, in payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub streams: u64,
    pub received: u64,
    pub sent: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.streams += other.streams;
        self.received += other.received;
        self.sent += other.sent;
    }
}

struct Shell {
    state: Mutex<State>,
}

impl Link {
    /// `rest` is what the greeting left over. It is read when the connection is polled first: allow claims before.
    pub fn new(role: Role, sharing: Sharing, transport: impl Into<Transport>, rest: Bytes) -> Self {
        Self::over(role, sharing, Wire::new(transport.into()), rest)
    }

    /// On a connection whose greeting may not be sent wholly yet.
    pub(crate) fn over(role: Role, sharing: Sharing, wire: Wire, rest: Bytes) -> Self {
        if sharing == Sharing::Shared {
            wire.keep_short();
        }
        let state = State::new(role, sharing, wire, rest);
        let timer = tokio::time::sleep_until(state.machine.poll_timeout().unwrap_or_else(now).into());
        Self { shell: Arc::new(Shell { state: Mutex::new(state) }), timer: Box::pin(timer), last_words: None }
    }

    pub fn handle(&self) -> LinkHandle {
        LinkHandle { shell: self.shell.clone() }
    }

    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// Why the connection is over, once everything is said that was to be said.
    pub async fn event(&mut self) -> Result<LinkEvent, TunnelError> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, TunnelError>> {
        let Self { shell, timer, last_words } = self;
        let mut guard = shell.state.lock();
        let state = &mut *guard;
        state.set_link(cx.waker());
        state.begin();
        for _ in 0..READS {
            let sent = state.transmit(cx).is_ready();
            if let Some(error) = &state.over {
                let error = error.clone();
                let until = *last_words.get_or_insert_with(|| now() + LAST_WORDS);
                if !sent && !poll_timer(timer, cx, until) {
                    return Poll::Pending;
                }
                if let Some(mut wire) = state.wire.take() {
                    wire.close(cx);
                }
                return Poll::Ready(Err(error));
            }
            if let Some((stream, open)) = state.opened.pop_front() {
                return Poll::Ready(Ok(LinkEvent::Opened(open, LinkStream::new(shell.clone(), stream))));
            }
            if sent && std::mem::take(&mut state.freed) {
                return Poll::Ready(Ok(LinkEvent::Free));
            }
            if state.link_reads() {
                state.pause(false);
                if state.read_piece(cx).is_ready() {
                    continue;
                }
            }
            if !poll_timer(timer, cx, state.next_tick()) {
                return Poll::Pending;
            }
            state.tick(cx);
        }
        // Others have their turn, and so have signs of life.
        if poll_timer(timer, cx, state.next_tick()) {
            state.tick(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether it is `at`. The timer is only set anew when it would be late, or has gone off: most of what happens on a busy
/// connection puts off what it waits for.
fn poll_timer(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>, at: Instant) -> bool {
    loop {
        if timer.deadline().into_std() > at || timer.is_elapsed() {
            timer.as_mut().reset(at.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        if now() >= at {
            return true;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.shell.state.lock();
        state.wire = None;
        state.machine.handle_input(now(), DataInput::Closed);
        state.settle();
    }
}

impl LinkHandle {
    /// Relay: begins a stream. Its first bytes may be written at once, and travel with the OPEN. Where the agent does not
    /// reach its target, reading fails with an [`OpenFailed`](crate::OpenFailed) inside of the error.
    ///
    /// # Errors
    /// Where this connection cannot take it: try another one.
    pub fn open(&self, open: Open) -> Result<LinkStream, OpenError> {
        let stream = self.shell.state.lock().open(open)?;
        Ok(LinkStream::new(self.shell.clone(), stream))
    }

    /// Agent: visitors may come for this claim. To be said on every new connection of the session for every claim, and on
    /// all connections when a claim is made, before it is sent.
    pub fn allow(&self, claim: u32, datagrams: bool) {
        self.shell.state.lock().machine.allow(claim, datagrams);
    }

    /// Agent: no new streams for this claim.
    pub fn forbid(&self, claim: u32) {
        self.shell.state.lock().machine.forbid(claim);
    }

    /// Ends the connection, and resets its streams. [`Link::event`] ends when the peer was told, or soon after.
    pub fn close(&self, code: Code) {
        let mut state = self.shell.state.lock();
        state.machine.close(code);
        state.settle();
    }

    /// Streams that are not over.
    pub fn streams(&self) -> usize {
        self.shell.state.lock().machine.streams()
    }

    /// Streams of bytes whose users still have them; flows of datagrams are not counted.
    pub fn byte_streams(&self) -> usize {
        self.shell.state.lock().byte_streams
    }

    /// Whether streams may still begin.
    pub fn is_open(&self) -> bool {
        self.shell.state.lock().over.is_none()
    }

    pub fn traffic(&self) -> Traffic {
        self.shell.state.lock().traffic
    }
}
