//! Copies bytes both ways once an upgrade is confirmed (RFC 9110 section 7.8): WebSocket and whatever else.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use doorstep_net::{BoxIo, Io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits;

/// Copies until both sides have said that they are done, or one breaks. `early` is what the upstream sent right
/// behind its 101. Each direction ends by itself: a side that has no more to say may still listen.
pub async fn tunnel(mut client: BoxIo, mut upstream: Io, early: Bytes) {
    let mut down = Direction { pending: early, ..Direction::default() };
    let mut up = Direction::default();
    let outcome: io::Result<()> = poll_fn(|cx| {
        let to_client = down.poll(cx, &mut upstream, &mut client);
        let to_upstream = up.poll(cx, &mut client, &mut upstream);
        match (to_client, to_upstream) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    })
    .await;
    // A broken side is how tunnels usually end; dropping both sides is all there is to do about it.
    drop(outcome);
}

/// One way of a tunnel. It holds memory only while the reader is slower than the writer.
#[derive(Default)]
struct Direction {
    pending: Bytes,
    unflushed: bool,
    ended: bool,
    shut: bool,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.shut {
            while !self.pending.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unflushed = true;
                self.pending.advance(written);
                if self.pending.is_empty() {
                    // Only this gives its memory back, and the tunnel may now be idle for hours.
                    self.pending = Bytes::new();
                }
            }
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
                break;
            }
            match with_scratch(|scratch| self.poll_through(cx, from, to, scratch)) {
                Poll::Ready(moved) => moved?,
                Poll::Pending => {
                    if self.unflushed && Pin::new(&mut *to).poll_flush(cx)?.is_ready() {
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes at once what the other side takes. The rest is kept.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        let mut filled = buffer.filled();
        if filled.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(written) = Pin::new(to).poll_write(cx, filled)? {
            self.unflushed = true;
            filled.advance(written);
        }
        self.pending = Bytes::copy_from_slice(filled);
        Poll::Ready(Ok(()))
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One buffer for all the tunnels of a thread: bytes stay in it only within one poll.
fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    scratch.resize(limits::TUNNEL_BUFFER, 0);
    let outcome = use_it(&mut scratch);
    SCRATCH.set(scratch);
    outcome
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let (client, mut visitor) = duplex(16);
        let (upstream, mut app) = duplex(16);
        let copy = tokio::spawn(tunnel(Box::new(client), Io::Other(Box::new(upstream)), Bytes::from("early ")));
        visitor.write_all(b"question").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut asked = String::new();
        app.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        let answer = "x".repeat(100_000);
        let answering = async {
            app.write_all(answer.as_bytes()).await.unwrap();
            app.shutdown().await.unwrap();
        };
        let mut heard = String::new();
        let (_, read) = tokio::join!(answering, visitor.read_to_string(&mut heard));
        read.unwrap();
        assert_eq!(heard, format!("early {answer}"));
        copy.await.unwrap();
    }

    #[tokio::test]
    async fn ends_when_a_side_breaks() {
        let (client, visitor) = duplex(16);
        let (upstream, mut app) = duplex(16);
        let copy = tokio::spawn(tunnel(Box::new(client), Io::Other(Box::new(upstream)), Bytes::new()));
        drop(visitor);
        app.write_all(&[0; 64]).await.ok();
        copy.await.unwrap();
    }
}
