use std::net::SocketAddr;

use doorstep_net::{BoxFuture, Io};
use doorstep_proto::tunnel::{Code, VisitorTls};

/// A live session with an agent, as the relay's side sees it: opens streams to what the agent claimed.
pub trait Carrier: Send + Sync {
    /// A stream to the target of `claim`, ready for bytes. Bounded in time by the implementation. Dropping the stream
    /// before both sides are finished resets it.
    fn open(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>>;

    /// Whether a stream is for one request of one visitor only: what came to it first says for whom it is, and whoever opened
    /// it closes it after the answer instead of keeping it for the next request. So with PageKite, whose back-ends tell apps
    /// the address of a stream's first visitor.
    fn one_request_each(&self) -> bool {
        false
    }

    /// A flow of datagrams from one visitor to the target of `claim`; one datagram for each read and each write.
    fn open_datagrams(&self, _claim: u32, _visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        Box::pin(async { Err(OpenFailed { code: Code::UnknownClaim, retriable: false }) })
    }
}

/// Who opens a stream.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub peer: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// What is known of its TLS, where that ended at the relay.
    pub tls: Option<VisitorTls>,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct OpenFailed {
    pub code: Code,
    /// The target got nothing of what the visitor sent: the same may be tried again, elsewhere or later.
    pub retriable: bool,
}
