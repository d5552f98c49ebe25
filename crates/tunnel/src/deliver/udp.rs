use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use doorstep_net::Io;
use doorstep_proto::tunnel::Code;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::{is_forbidden, scratch};
use crate::limits::{UDP_FLOWS, UDP_IDLE};

static FLOWS: AtomicUsize = AtomicUsize::new(0);

/// One visitor's datagrams: a socket of their own, so that the app can tell visitors apart, and answers find back.
pub(super) struct Flow {
    socket: UdpSocket,
    _counted: Counted,
}

impl Flow {
    pub async fn open(to: SocketAddr) -> Result<Self, Code> {
        if is_forbidden(to.ip()) {
            return Err(Code::DialForbidden);
        }
        let counted = Counted::new().ok_or(Code::TooManyStreams)?;
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(|_| Code::DialRefused)?;
        socket.connect(to).await.map_err(|_| Code::DialRefused)?;
        // Before the runtime heard that it is, nothing can be sent, and the first datagram would be lost.
        socket.writable().await.map_err(|_| Code::DialRefused)?;
        Ok(Self { socket, _counted: counted })
    }

    /// Until the visitor's side ends the flow, or nothing went either way for [`UDP_IDLE`].
    pub async fn run(self, mut stream: Io) {
        let mut idle = Box::pin(sleep_until(Instant::now() + UDP_IDLE));
        poll_fn(|cx| {
            let mut moved = false;
            let over = loop {
                match self.poll_one(cx, &mut stream) {
                    Poll::Ready(Moved::One) => moved = true,
                    Poll::Ready(Moved::Nothing) => {}
                    Poll::Ready(Moved::Over) => break Poll::Ready(()),
                    Poll::Pending => break Poll::Pending,
                }
            };
            if moved {
                idle.as_mut().reset(Instant::now() + UDP_IDLE);
            }
            if over.is_ready() { over } else { idle.as_mut().poll(cx) }
        })
        .await;
    }

    /// Moves one datagram, whichever way. One that its receiver cannot take at once is lost, as they may be.
    fn poll_one(&self, cx: &mut Context<'_>, stream: &mut Io) -> Poll<Moved> {
        scratch::with(|buffer| {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut read) {
                // No datagram is empty on the way: that is the end.
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(Moved::Over),
                Poll::Ready(Ok(())) => {
                    // An error may be that of an earlier one, which nobody took (ICMP). The app may be about to start.
                    let _ = self.socket.try_send(read.filled());
                    return Poll::Ready(Moved::One);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Moved::Over),
                Poll::Pending => {}
            }
            match self.socket.poll_recv(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => Poll::Ready(Moved::Nothing),
                Poll::Ready(Ok(())) => match Pin::new(&mut *stream).poll_write(cx, read.filled()) {
                    Poll::Ready(Ok(_)) => Poll::Ready(Moved::One),
                    Poll::Ready(Err(_)) => Poll::Ready(Moved::Over),
                    Poll::Pending => Poll::Ready(Moved::Nothing),
                },
                Poll::Ready(Err(_)) => Poll::Ready(Moved::Nothing),
                Poll::Pending => match Pin::new(stream).poll_flush(cx) {
                    Poll::Ready(Err(_)) => Poll::Ready(Moved::Over),
                    _ => Poll::Pending,
                },
            }
        })
    }
}

enum Moved {
    One,
    Nothing,
    Over,
}

/// A place among [`UDP_FLOWS`].
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let more = |count: usize| (count < UDP_FLOWS).then_some(count + 1);
        FLOWS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok().then_some(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        FLOWS.fetch_sub(1, Ordering::Relaxed);
    }
}
