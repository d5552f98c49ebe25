//! Files to sockets inside the kernel (sendfile(2)), without ever waiting for a disk in the worker's thread.

use std::io::{self, IoSliceMut};
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::body::FileRange;
use crate::limits::SENDFILE_CHUNK;

/// Sends some of the range and takes it off its front. Ready with 0 where the file has ended.
pub(crate) fn poll_send(socket: &TcpStream, range: &mut FileRange, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        let count = usize::try_from(range.len.min(SENDFILE_CHUNK)).unwrap_or(usize::MAX);
        let mut offset = range.offset;
        let sent = socket.try_io(Interest::WRITABLE, || {
            rustix::fs::sendfile(socket, &*range.file, Some(&mut offset), count).map_err(io::Error::from)
        });
        match sent {
            Ok(moved) => {
                range.offset += moved as u64;
                range.len -= moved as u64;
                return Poll::Ready(Ok(moved as u64));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Sees to it that the next chunk is in the page cache: reads it in another thread if it is not.
pub(crate) async fn warm(range: &mut FileRange) -> io::Result<()> {
    let chunk = range.len.min(SENDFILE_CHUNK);
    if chunk == 0 || is_cached(range, range.offset + chunk - 1) {
        return Ok(());
    }
    let file = range.file.clone();
    let offset = range.offset;
    let read = tokio::task::spawn_blocking(move || {
        use std::os::unix::fs::FileExt;
        let mut buffer = vec![0; 64 * 1024];
        let end = offset + chunk;
        let mut at = offset;
        while at < end {
            match file.read_at(&mut buffer, at)? {
                0 => break,
                got => at += got as u64,
            }
        }
        io::Result::Ok(())
    });
    read.await.map_err(io::Error::other)?
}

/// Whether the byte can be read without waiting for a disk; `true` where the system cannot tell.
pub(crate) fn is_cached(range: &FileRange, offset: u64) -> bool {
    let mut byte = [0];
    let read = rustix::io::preadv2(&*range.file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
    !matches!(read, Err(Errno::AGAIN))
}

/// Hands bytes to the kernel with a promise of more (MSG_MORE), as many as it takes at once.
pub(crate) fn send_more(socket: &TcpStream, bytes: &[u8]) -> usize {
    let sent = socket.try_io(Interest::WRITABLE, || {
        rustix::net::send(socket, bytes, SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            .map_err(io::Error::from)
    });
    sent.unwrap_or(0)
}
