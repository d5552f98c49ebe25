use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use doorstep_net::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The last of our streams that the app will have looked at, as far as it has said: `h2` keeps it to itself, and without
/// it nobody can tell whether a request may be sent again (RFC 9113 section 6.8).
#[derive(Clone)]
pub struct LastStream(Arc<AtomicU32>);

impl LastStream {
    /// Whether the app has said that it did not look at this stream, and will not.
    pub fn is_before(&self, stream: u32) -> bool {
        stream > self.0.load(Ordering::Acquire)
    }
}

/// A connection on which GOAWAY frames are listened for.
pub struct Watched {
    io: Io,
    scanner: Scanner,
    last: LastStream,
}

impl Watched {
    pub fn new(io: Io) -> (Self, LastStream) {
        let last = LastStream(Arc::new(AtomicU32::new(u32::MAX)));
        (Self { io, scanner: Scanner::default(), last: last.clone() }, last)
    }
}

/// Walks over frames, whatever pieces they come in.
#[derive(Default)]
struct Scanner {
    /// The frame's header (RFC 9113 section 4.1) and, of a GOAWAY, what it begins with.
    head: [u8; 13],
    have: usize,
    /// Bytes of payload that are of no interest.
    skip: usize,
}

const HEADER: usize = 9;
const GOAWAY: u8 = 7;

impl Scanner {
    fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(u32)) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            bytes = rest;
            if self.have < HEADER {
                continue;
            }
            let [a, b, c, kind, _, _, _, _, _, last @ ..] = self.head;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let wanted = if kind == GOAWAY && length >= last.len() { last.len() } else { 0 };
            if self.have == HEADER + wanted {
                if wanted > 0 {
                    // The first bit is reserved.
                    found(u32::from_be_bytes(last) & 0x7fff_ffff);
                }
                self.skip = length - wanted;
                self.have = 0;
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let last = &this.last.0;
        this.scanner.scan(buf.filled().get(before..).unwrap_or_default(), |stream| {
            last.fetch_min(stream, Ordering::AcqRel);
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    proptest! {
        #[test]
        fn frames_are_found_in_any_pieces(
            frames in proptest::collection::vec((0u8..10, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
            piece in 1usize..50,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let expected: Vec<u32> = frames
                .iter()
                .filter(|(kind, payload)| *kind == GOAWAY && payload.len() >= 4)
                .map(|(_, payload)| u32::from_be_bytes(payload[..4].try_into().unwrap()) & 0x7fff_ffff)
                .collect();
            let (mut scanner, mut found) = (Scanner::default(), Vec::new());
            wire.chunks(piece).for_each(|bytes| scanner.scan(bytes, |last| found.push(last)));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_pass(bytes: Vec<u8>) {
            Scanner::default().scan(&bytes, |_| {});
        }
    }
}
