use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use doorstep_net::Io;
use rustls::Connection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::limits::{READ, RECORD, RECORD_OVERHEAD, UNSENT, WRITE};
use super::round_trip::round_trip;

/// What a data connection runs on.
pub enum Transport {
    /// TLS on a socket, driven here: with large reads, and nothing kept that does not wait.
    Tls(Box<Tls>),
    /// Anything else.
    Io(Io),
}

/// A TLS connection after its handshake.
pub struct Tls {
    socket: TcpStream,
    session: Connection,
    /// Encrypted bytes that were read and have no room in the session yet.
    ahead: Vec<u8>,
    from: usize,
    ended: bool,
    said_goodbye: bool,
}

impl From<Io> for Transport {
    fn from(io: Io) -> Self {
        match io {
            Io::Tls(stream) => {
                let (socket, session) = stream.into_inner();
                Self::tls(socket, session.into())
            }
            other => Self::Io(other),
        }
    }
}

impl From<tokio_rustls::client::TlsStream<TcpStream>> for Transport {
    fn from(stream: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        let (socket, session) = stream.into_inner();
        Self::tls(socket, session.into())
    }
}

thread_local! {
    /// Where sockets are read to; what came is decrypted before the next read, mostly.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

impl Transport {
    fn tls(socket: TcpStream, mut session: Connection) -> Self {
        // Small writes must not wait for the acknowledgement of earlier ones. Where it fails, it is only slower.
        let _ = socket.set_nodelay(true);
        session.set_buffer_limit(Some(WRITE));
        Self::Tls(Box::new(Tls { socket, session, ahead: Vec::new(), from: 0, ended: false, said_goodbye: false }))
    }

    /// Reads what is there, up to the buffer's end; 0 is the end of the connection.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tls(tls) => tls.poll_read(cx, buf),
            Self::Io(io) => {
                let mut buf = ReadBuf::new(buf);
                ready!(Pin::new(io).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    }

    /// Takes bytes to be sent. After [`poll_flush`](Self::poll_flush) was ready, TLS takes [`WRITE`] bytes at once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tls(tls) => tls.poll_write(cx, bufs),
            Self::Io(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => tls.poll_send(cx),
            Self::Io(io) => Pin::new(io).poll_flush(cx),
        }
    }

    /// TLS has something to send, be it an answer that it owes by itself.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Tls(tls) => tls.session.wants_write(),
            Self::Io(_) => false,
        }
    }

    /// Lets little wait in the kernel, where it cannot be overtaken. Where it fails, streams wait longer for each other.
    pub(super) fn keep_short(&self) {
        if let Self::Tls(tls) = self {
            let _ = SockRef::from(&tls.socket).set_tcp_notsent_lowat(UNSENT);
        }
    }

    /// What a round trip takes, where it is known.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Tls(tls) => round_trip(&tls.socket),
            Self::Io(Io::Tcp(socket)) => round_trip(socket),
            Self::Io(_) => None,
        }
    }

    /// Says goodbye, as far as this goes without waiting.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(self).poll_shutdown(cx);
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() > 0 {
            let read = ready!(self.get_mut().poll_read(cx, buf.initialize_unfilled()))?;
            buf.advance(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(tls) => {
                if !tls.said_goodbye {
                    tls.said_goodbye = true;
                    tls.session.send_close_notify();
                }
                ready!(tls.poll_send(cx))?;
                Pin::new(&mut tls.socket).poll_shutdown(cx)
            }
            Self::Io(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl Tls {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        loop {
            match self.take(buf, &mut filled) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(filled)),
                Err(_) if filled > 0 => return Poll::Ready(Ok(filled)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            match self.poll_receive(cx, buf, &mut filled) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending if filled == 0 => return Poll::Pending,
                Poll::Ready(Err(error)) if filled == 0 => return Poll::Ready(Err(error)),
                // An error comes again.
                _ => return Poll::Ready(Ok(filled)),
            }
        }
    }

    /// What is decrypted goes to the buffer. Says whether there is nothing more to be done: it is full, or the peer said
    /// goodbye.
    fn take(&mut self, buf: &mut [u8], filled: &mut usize) -> io::Result<bool> {
        match self.session.reader().read(&mut buf[*filled..]) {
            Ok(0) => return Ok(true),
            Ok(read) => *filled += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(*filled == buf.len())
    }

    /// More encrypted bytes into the session, from where they wait or from the socket.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8], filled: &mut usize) -> Poll<io::Result<()>> {
        if self.from < self.ahead.len() {
            let ahead = std::mem::take(&mut self.ahead);
            let taken = self.decrypt(&ahead[self.from..]);
            self.ahead = ahead;
            self.from += taken?;
            if self.from == self.ahead.len() {
                (self.ahead, self.from) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            // What the buffer has room for, so that little is left over.
            let wanted = buf.len() - *filled;
            let wanted = wanted + (wanted / RECORD + 2) * RECORD_OVERHEAD;
            let scratch = &mut scratch[..wanted.clamp(RECORD + RECORD_OVERHEAD, READ)];
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let mut left = read.filled();
            if left.is_empty() {
                self.ended = true;
                self.session.read_tls(&mut io::empty())?;
                return Poll::Ready(Ok(()));
            }
            let mut full = false;
            while !left.is_empty() && !full {
                let taken = self.decrypt(left);
                left = &left[taken.inspect_err(|_| drop(self.poll_send(cx)))?..];
                full = self.take(buf, filled)?;
            }
            self.ahead.extend_from_slice(left);
            Poll::Ready(Ok(()))
        })
    }

    /// As many bytes as the session has room for.
    fn decrypt(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = bytes;
        while !left.is_empty() && self.session.wants_read() {
            if self.session.read_tls(&mut left)? == 0 {
                // The peer said goodbye; what follows is nobody's.
                return Ok(bytes.len());
            }
            self.session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok(bytes.len() - left.len())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let written = self.session.writer().write_vectored(bufs)?;
            let sent = self.poll_send(cx)?;
            if written > 0 {
                return Poll::Ready(Ok(written));
            }
            ready!(sent);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Socket { socket: &mut self.socket, cx };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A socket as `rustls` writes to it.
struct Socket<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Socket<'_, '_> {
    fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
        match poll {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Self::blocking(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
