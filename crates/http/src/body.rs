//! Bodies of requests and responses.

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_model::Blame;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;

/// A body that may be streamed, with trailers. [`Body::File`] exists so that the engine can hand it to the kernel.
pub enum Body {
    Empty,
    Full(Bytes),
    File(FileRange),
    Stream(BoxBody),
}

/// Any stream of frames. Sync though streams are not, so that a service can hold a `&Request` while it waits; nobody
/// ever contends for the lock.
pub struct BoxBody(Mutex<Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>>);

/// `len` bytes of an open file from `offset`. A file that turns out shorter ends the body with an error.
#[derive(Clone, Debug)]
pub struct FileRange {
    pub file: Arc<File>,
    pub offset: u64,
    pub len: u64,
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the client went away")]
    ClientGone,
    #[error("the client sent a malformed body: {0}")]
    Malformed(&'static str),
    #[error("the client sent its body too slowly")]
    TooSlow,
    #[error("the body is larger than the limit of {0} bytes")]
    TooLarge(u64),
    #[error("the upstream ended its response early: {0}")]
    Upstream(std::io::Error),
    #[error("the file could not be read: {0}")]
    File(std::io::Error),
    #[error("stopped: {0}")]
    Stopped(&'static str),
}

impl BodyError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::ClientGone | Self::Malformed(_) | Self::TooSlow | Self::TooLarge(_) => Blame::Client,
            Self::Upstream(_) => Blame::Upstream,
            Self::File(_) | Self::Stopped(_) => Blame::Environment,
        }
    }
}

impl Body {
    /// Boxes any stream of frames.
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::Stream(BoxBody(Mutex::new(Box::pin(body))))
    }

    /// Takes the body and leaves an empty one.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Empty)
    }

    /// The exact length in bytes where it is known.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::File(range) => Some(range.len),
            Self::Stream(body) => http_body::Body::size_hint(&*body.0.lock()).exact(),
        }
    }

    /// Whether it is known to have no bytes and no trailers.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::File(range) => range.len == 0,
            Self::Stream(body) => http_body::Body::is_end_stream(&*body.0.lock()),
        }
    }

    /// Reads the whole body into memory, trailers left out.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as it exceeds `limit` bytes, or the body's own error.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        if let Self::Full(bytes) = self {
            return if bytes.len() > limit { Err(BodyError::TooLarge(limit as u64)) } else { Ok(bytes) };
        }
        let mut whole = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut self), cx)).await {
            if let Ok(data) = frame?.into_data() {
                if whole.len() + data.len() > limit {
                    return Err(BodyError::TooLarge(limit as u64));
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.into())
    }
}

/// Bytes of a file read at once where the kernel cannot send it by itself.
const FILE_CHUNK: u64 = 256 * 1024;

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::File(range) => {
                if range.len == 0 {
                    return Poll::Ready(None);
                }
                let read = range.read_chunk(FILE_CHUNK);
                Poll::Ready(Some(read.map(Frame::data).map_err(BodyError::File)))
            }
            Self::Stream(body) => body.0.get_mut().as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream(body) => http_body::Body::size_hint(&*body.0.lock()),
            known => SizeHint::with_exact(known.len().unwrap_or(0)),
        }
    }
}

impl FileRange {
    /// Takes up to `most` bytes off the front. Reads in the calling thread.
    pub(crate) fn read_chunk(&mut self, most: u64) -> std::io::Result<Bytes> {
        use std::os::unix::fs::FileExt;
        let want = self.len.min(most) as usize;
        let mut buffer = vec![0; want];
        let got = self.file.read_at(&mut buffer, self.offset)?;
        if got == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        buffer.truncate(got);
        self.offset += got as u64;
        self.len -= got as u64;
        Ok(buffer.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(bytes.into())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}
