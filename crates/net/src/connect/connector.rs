use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use doorstep_model::{Upstream, UpstreamAddr};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::{BoxFuture, Connect, ConnectError, Dial, race, tls_client};
use crate::{Io, limits};

/// Connects by TCP or unix socket, with TLS where the upstream asks for it.
///
/// A name is resolved at each connection, and all its addresses are tried. Certificates are verified against the
/// roots that the upstream names, or that this computer trusts, which are read at the first use.
#[derive(Debug)]
pub struct Connector {
    tls: tls_client::TlsClients,
    allowed: fn(IpAddr) -> bool,
}

impl Connector {
    pub fn new() -> Self {
        Self::only_to(|_| true)
    }

    /// Connects to these addresses only, whatever a name resolves to.
    pub fn only_to(allowed: fn(IpAddr) -> bool) -> Self {
        Self { tls: tls_client::TlsClients::default(), allowed }
    }

    async fn open(&self, to: &Upstream, preamble: &[u8]) -> Result<Io, ConnectError> {
        match &to.addr {
            UpstreamAddr::Tcp { host, port } => {
                let mut stream = race::connect_tcp(host, *port, self.allowed).await?;
                prepare(&stream).map_err(|source| ConnectError::Io { address: address(to), source })?;
                say(&mut stream, preamble, to).await?;
                if to.tls {
                    return self.tls.handshake(stream, to, host).await.map(|tls| Io::Other(Box::new(tls)));
                }
                Ok(Io::Tcp(stream))
            }
            UpstreamAddr::Unix(path) => {
                let mut stream = open_unix(path).await?;
                say(&mut stream, preamble, to).await?;
                if to.tls {
                    let host = authority_host(&to.authority);
                    return self.tls.handshake(stream, to, host).await.map(|tls| Io::Other(Box::new(tls)));
                }
                Ok(Io::Unix(stream))
            }
        }
    }

    async fn open_within(&self, to: &Upstream, preamble: &[u8], within: Duration) -> Result<Io, ConnectError> {
        let late = || ConnectError::TimedOut { address: address(to), seconds: within.as_secs() };
        timeout(within, self.open(to, preamble)).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connect for Connector {
    fn connect<'a>(&'a self, to: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>> {
        Box::pin(self.open_within(to, &[], limits::CONNECT))
    }

    fn connect_as<'a>(&'a self, to: &'a Upstream, dial: Dial<'a>) -> BoxFuture<'a, Result<Io, ConnectError>> {
        Box::pin(self.open_within(to, dial.preamble, dial.within))
    }
}

/// The upstream's address as a person would write it: `localhost:8000`, `unix:/run/app.sock`.
pub fn address(to: &Upstream) -> String {
    match &to.addr {
        UpstreamAddr::Tcp { host, port } => race::display(host, *port),
        UpstreamAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Connects to a unix socket, also where its queue is full for the moment. Not bounded in time.
///
/// # Errors
/// The system's.
pub async fn open_unix(path: &Path) -> Result<UnixStream, ConnectError> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // The listener's queue is full. TCP would wait by itself; here it is asked for (connect(2)).
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => sleep(limits::UNIX_BUSY_PAUSE).await,
            Err(source) => return Err(ConnectError::Io { address: format!("unix:{}", path.display()), source }),
        }
    }
}

/// Small writes go out at once, and a peer that vanished without a word is noticed at last.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_keepalive(true)
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), preamble: &[u8], to: &Upstream) -> Result<(), ConnectError> {
    if preamble.is_empty() {
        return Ok(());
    }
    stream.write_all(preamble).await.map_err(|source| ConnectError::Io { address: address(to), source })
}

fn authority_host(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.find(']').map_or(authority, |end| &authority[..=end]);
    }
    authority.split_once(':').map_or(authority, |(host, _)| host)
}
