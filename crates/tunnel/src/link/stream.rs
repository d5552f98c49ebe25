use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use doorstep_proto::tunnel::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::over;

/// One stream of bytes: shutting it down ends this side's direction only. One that is dropped before both directions ended
/// is reset. Or one flow of datagrams: one for each read (what does not fit the buffer is lost) and each write.
///
/// After a reset by the peer, reads and writes fail with [`io::ErrorKind::ConnectionReset`]; with an
/// [`OpenFailed`](crate::OpenFailed) inside where the target was never reached.
pub struct LinkStream(());

impl LinkStream {
    /// Agent: tells the relay that the target took the connection.
    pub fn accept(&self) {}

    /// Ends it at once, both ways, with a reason.
    pub fn reset(self, code: Code) {
        let _ = code;
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(over()))
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(over()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(over()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(over()))
    }
}
