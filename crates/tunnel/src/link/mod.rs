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

mod stream;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_net::Io;
use doorstep_proto::tunnel::{Code, Open, OpenError, Role, Sharing, TunnelError};

pub use stream::LinkStream;

/// A data connection after its greeting. Its streams are reset when it is dropped.
pub struct Link {
    shell: Arc<Shell>,
}

/// What happens on a data connection.
pub enum LinkEvent {
    /// Agent: a visitor. [`LinkStream::accept`] when the target took the connection, [`LinkStream::reset`] with the reason
    /// where it did not. Claims that were not allowed do not come here.
    Opened(Open, LinkStream),
    /// Relay: a stream is over, and everything of it was sent: an exclusive connection may take the next one.
    Free,
}

/// Opens streams on a connection that somebody else polls.
#[derive(Clone)]
pub struct LinkHandle {
    shell: Arc<Shell>,
}

struct Shell;

impl Link {
    /// `rest` is what the greeting left over.
    pub fn new(role: Role, sharing: Sharing, io: Io, rest: Bytes) -> Self {
        let _ = (role, sharing, io, rest);
        Self { shell: Arc::new(Shell) }
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
        let _ = cx;
        Poll::Pending
    }
}

impl LinkHandle {
    /// Relay: begins a stream. Its first bytes may be written at once, and travel with the OPEN. Where the agent does not
    /// reach its target, reading fails with an [`OpenFailed`](crate::OpenFailed) inside of the error.
    ///
    /// # Errors
    /// Where this connection cannot take it: try another one.
    pub fn open(&self, open: Open) -> Result<LinkStream, OpenError> {
        let _ = (open, &self.shell);
        Err(OpenError::Over)
    }

    /// Agent: visitors may come for this claim. To be said on every new connection of the session for every claim, and on
    /// all connections when a claim is made, before it is sent.
    pub fn allow(&self, claim: u32, datagrams: bool) {
        let _ = (claim, datagrams);
    }

    /// Agent: no new streams for this claim.
    pub fn forbid(&self, claim: u32) {
        let _ = claim;
    }

    /// Ends the connection, and resets its streams. [`Link::event`] ends when the peer was told, or soon after.
    pub fn close(&self, code: Code) {
        let _ = code;
    }

    /// Streams that are not over.
    pub fn streams(&self) -> usize {
        0
    }
}

fn over() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
