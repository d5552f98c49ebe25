use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use doorstep_model::Secret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// One accepted connection, whatever road it came by.
pub struct Conn {
    pub io: Io,
    pub info: Arc<ConnInfo>,
}

/// What is known of a connection before its first byte of HTTP.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// Who opened it: the real client's address, also behind a tunnel or the PROXY protocol.
    pub peer: SocketAddr,
    /// The address it was opened to.
    pub local: SocketAddr,
    /// Present when the client speaks TLS with us.
    pub tls: Option<TlsInfo>,
    /// It came from a relay, which serves many clients over it and says by `X-Forwarded-*` for whom each request is.
    pub relayed: bool,
    pub accepted: Instant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// Server name the client asked for, lower case (RFC 6066 section 3).
    pub sni: Option<String>,
    /// Whether ALPN chose HTTP/2 (RFC 7301).
    pub h2: bool,
    /// What a protocol inside binds itself to this connection by, where somebody asked for it ([`crate::TlsHere::export`])
    /// and TLS 1.3 is spoken.
    pub exporter: Option<Secret<Exporter>>,
}

/// Keying material that only the two ends of a TLS connection know (RFC 8446 section 7.5).
pub type Exporter = [u8; 32];

/// The byte stream of a connection. An enum, so that plain TCP keeps its short cuts (sendfile, readiness).
pub enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    Other(BoxIo),
}

/// Any duplex byte stream.
pub type BoxIo = Box<dyn Duplex>;

/// Bytes both ways: what a [`BoxIo`] can do.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

macro_rules! each {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Io::Tcp($io) => $call,
            Io::Unix($io) => $call,
            Io::Tls($io) => $call,
            Io::Other($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::Unix(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
            Io::Other(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
