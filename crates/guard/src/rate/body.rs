use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::body::FileRange;
use doorstep_http::{Body, BodyError};
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::gate::Gate;
use crate::limits::{MAX_SLICE, MIN_FILE_READ};

/// A body whose data pass a [`Gate`] in slices. Holds one frame of the body inside, or one read of a file.
pub(super) struct PacedBody {
    source: Source,
    pending: Bytes,
    gate: Gate,
}

enum Source {
    Body(Body),
    /// A file is read here and off this thread: a rate limit gives no reason to wait for the disk.
    File {
        range: FileRange,
        reading: Option<JoinHandle<io::Result<Bytes>>>,
    },
}

impl PacedBody {
    pub(super) fn new(body: Body, gate: Gate) -> Self {
        let (source, pending) = match body {
            Body::Full(bytes) => (Source::Body(Body::Empty), bytes),
            Body::File(range) => (Source::File { range, reading: None }, Bytes::new()),
            other => (Source::Body(other), Bytes::new()),
        };
        Self { source, pending, gate }
    }
}

impl http_body::Body for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        while this.pending.is_empty() {
            match ready!(this.source.poll_frame(cx, this.gate.slice())) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.pending = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let bytes = this.pending.len().min(this.gate.slice());
        ready!(this.gate.poll_pass(cx, bytes));
        Poll::Ready(Some(Ok(Frame::data(this.pending.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty()
            && match &self.source {
                Source::Body(body) => body.is_empty(),
                Source::File { range, reading } => range.len == 0 && reading.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let pending = self.pending.len() as u64;
        let source = match &self.source {
            Source::Body(body) => http_body::Body::size_hint(body),
            Source::File { range, .. } => SizeHint::with_exact(range.len),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(source.lower().saturating_add(pending));
        if let Some(upper) = source.upper().and_then(|upper| upper.checked_add(pending)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>, slice: usize) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (range, reading) = match self {
            Self::Body(body) => return http_body::Body::poll_frame(Pin::new(body), cx),
            Self::File { range, reading } => (range, reading),
        };
        if range.len == 0 {
            return Poll::Ready(None);
        }
        let task = reading.get_or_insert_with(|| {
            let next = range.clone();
            tokio::task::spawn_blocking(move || read(&next, slice.clamp(MIN_FILE_READ, MAX_SLICE)))
        });
        let result = ready!(Pin::new(task).poll(cx));
        *reading = None;
        let read = result.map_err(io::Error::other).and_then(|read| read).map_err(BodyError::File);
        Poll::Ready(Some(read.map(|bytes| {
            range.offset += bytes.len() as u64;
            range.len -= bytes.len() as u64;
            Frame::data(bytes)
        })))
    }
}

/// Up to `most` bytes from the front of `range`, at least one.
fn read(range: &FileRange, most: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; most.min(usize::try_from(range.len).unwrap_or(most))];
    match range.file.read_at(&mut buffer, range.offset)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
        got => {
            buffer.truncate(got);
            Ok(buffer.into())
        }
    }
}
