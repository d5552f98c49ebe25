//! Several ranges in one response (RFC 9110 section 14.6).

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::BodyError;
use http::HeaderValue;
use http_body::{Frame, SizeHint};

use super::Source;
use crate::limits::FILE_CHUNK;
use crate::read::Reader;

/// A `multipart/byteranges` body of known length.
pub struct Multipart {
    source: PartSource,
    /// What remains, the next piece last.
    pieces: Vec<Piece>,
    left: u64,
}

enum PartSource {
    Memory(Bytes),
    File(Reader),
}

enum Piece {
    /// A part's header, or the closing line.
    Text(Bytes),
    Data(Range<u64>),
}

impl Multipart {
    /// The body and its `Content-Type`. `mime` is the representation's own type.
    pub fn new(source: &Source, mime: &HeaderValue, parts: &[Range<u64>], length: u64) -> (Self, HeaderValue) {
        let boundary = format!("doorstep{:016x}", RandomState::new().hash_one(length));
        let mime = mime.to_str().unwrap_or("application/octet-stream");
        let mut pieces = vec![Piece::Text(format!("\r\n--{boundary}--\r\n").into())];
        for part in parts.iter().rev() {
            let (start, last) = (part.start, part.end.saturating_sub(1));
            pieces.push(Piece::Data(part.clone()));
            pieces.push(Piece::Text(
                format!(
                    "\r\n--{boundary}\r\nContent-Type: {mime}\r\nContent-Range: bytes {start}-{last}/{length}\r\n\r\n"
                )
                .into(),
            ));
        }
        let left = pieces.iter().map(Piece::len).sum();
        let source = match source {
            Source::Memory(bytes) => PartSource::Memory(bytes.clone()),
            Source::File { file, .. } => PartSource::File(Reader::new(Arc::clone(file))),
        };
        let value = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
        (Self { source, pieces, left }, value.unwrap_or(HeaderValue::from_static("multipart/byteranges")))
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Data(range) => range.end - range.start,
        }
    }
}

impl http_body::Body for Multipart {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let bytes = match (this.pieces.last_mut(), &mut this.source) {
            (None, _) => return Poll::Ready(None),
            (Some(Piece::Text(text)), _) => std::mem::take(text),
            (Some(Piece::Data(range)), PartSource::Memory(whole)) => {
                let taken = std::mem::replace(&mut range.start, range.end)..range.end;
                whole.slice(taken.start as usize..taken.end as usize)
            }
            (Some(Piece::Data(range)), PartSource::File(reader)) => {
                let most = (range.end - range.start).min(FILE_CHUNK as u64) as usize;
                match ready!(reader.poll(cx, range.start, most)) {
                    Ok(bytes) => {
                        range.start += bytes.len() as u64;
                        bytes
                    }
                    Err(error) => {
                        this.pieces.clear();
                        return Poll::Ready(Some(Err(BodyError::File(error))));
                    }
                }
            }
        };
        if this.pieces.last().is_some_and(|piece| piece.len() == 0) {
            this.pieces.pop();
        }
        this.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
