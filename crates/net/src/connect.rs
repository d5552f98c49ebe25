mod connector;
mod idle;
mod race;
mod tls_client;
mod tls_config;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use doorstep_model::{Blame, Upstream};
use tokio::io::AsyncWriteExt;

pub use connector::{Connector, address, open_unix};
pub use race::connect_tcp;
pub use tls_config::any_certificate;

use crate::Io;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes outbound connections: by TCP, by unix socket, through a tunnel.
pub trait Connect: Send + Sync {
    /// Opens a connection to `to`, TLS done where the upstream asks for it. Bounded in time by the implementation.
    fn connect<'a>(&'a self, to: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>>;

    /// The same in less time than the implementation's own bound, and with something said before anything else.
    fn connect_as<'a>(&'a self, to: &'a Upstream, dial: Dial<'a>) -> BoxFuture<'a, Result<Io, ConnectError>> {
        Box::pin(async move {
            let address = || address(to);
            if to.tls && !dial.preamble.is_empty() {
                let reason = "nothing can be said before TLS on this road".to_owned();
                return Err(ConnectError::Tls { address: address(), reason });
            }
            let open = async {
                let mut io = self.connect(to).await?;
                io.write_all(dial.preamble).await.map_err(|source| ConnectError::Io { address: address(), source })?;
                Ok(io)
            };
            let late = || ConnectError::TimedOut { address: address(), seconds: dial.within.as_secs() };
            tokio::time::timeout(dial.within, open).await.unwrap_or_else(|_| Err(late()))
        })
    }
}

/// How a connection is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// From the wish to the connection's being ready: the name resolved, TCP and TLS done.
    pub within: Duration,
    /// Sent before anything else, also before TLS; may be empty.
    pub preamble: &'a [u8],
}

/// Why an upstream could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the name {host} could not be resolved: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("{address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("{address} did not answer within {seconds} s")]
    TimedOut { address: String, seconds: u64 },
    #[error("TLS with {address} failed: {reason}")]
    Tls { address: String, reason: String },
}

impl ConnectError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Resolve { .. } => Blame::Environment,
            Self::Io { source, .. } if is_out_of_descriptors(source) => Blame::Environment,
            Self::Io { .. } | Self::TimedOut { .. } | Self::Tls { .. } => Blame::Upstream,
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
