mod connector;
mod idle;
mod race;
mod tls_client;

use std::future::Future;
use std::io;
use std::pin::Pin;

use doorstep_model::{Blame, Upstream};

pub use connector::{Connector, address};

use crate::Io;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes outbound connections: by TCP, by unix socket, through a tunnel.
pub trait Connect: Send + Sync {
    /// Opens a connection to `to`, TLS done where the upstream asks for it. Bounded in time by the implementation.
    fn connect<'a>(&'a self, to: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>>;
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
