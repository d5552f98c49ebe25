use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, ReadBuf};

use crate::Io;

impl Io {
    /// Whether an idle connection is still open and its peer has said nothing. A connection of which this is false
    /// must not be used again: it was closed, or carries bytes that nobody asked for.
    ///
    /// Without `certain` it answers by what the runtime has heard of last, which costs no system call; with it, the
    /// kernel is asked where that is possible.
    pub fn is_quiet(&mut self, certain: bool) -> bool {
        if certain {
            let mut byte = [0u8; 1];
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let peeked = match self {
                Io::Tcp(io) => Some(recv(io, &mut byte, flags)),
                Io::Unix(io) => Some(recv(io, &mut byte, flags)),
                Io::Tls(_) | Io::Other(_) => None,
            };
            if let Some(peeked) = peeked {
                return matches!(peeked, Err(rustix::io::Errno::AGAIN));
            }
        }
        let mut byte = [0u8; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        matches!(Pin::new(self).poll_read(&mut cx, &mut buffer), Poll::Pending)
    }
}
