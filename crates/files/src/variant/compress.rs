//! Compressing on the way, in bounded memory and away from the data plane.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_http::BodyError;
use doorstep_http::coding::{Coding, Encoder};
use http_body::Frame;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::limits::{FILE_CHUNK, MAX_COMPRESSORS};

static COMPRESSORS: Semaphore = Semaphore::const_new(MAX_COMPRESSORS);

/// A body that is compressed as the client takes it. Making its bytes and compressing them happen in blocking threads,
/// one step at a time.
pub struct Compressed(State);

/// Bytes to be compressed, a chunk at a time. May block.
pub trait Chunks: Send + Sync + 'static {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The bytes cannot be had: the body breaks off.
    fn next_chunk(&mut self) -> io::Result<Option<&[u8]>>;
}

enum State {
    Idle(Box<Job>),
    Busy(JoinHandle<io::Result<Step>>),
    Done,
}

/// The job to go on with, `None` when it is done, and what came out.
type Step = (Option<Box<Job>>, Vec<u8>);

struct Job {
    chunks: Box<dyn Chunks>,
    encoder: Encoder,
    _permit: SemaphorePermit<'static>,
}

/// The bytes that a file had when it was opened.
struct FileChunks {
    file: Arc<File>,
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl Compressed {
    /// # Errors
    /// Gives `chunks` back while as many as may are at work already, or there is no memory: send them as they are.
    pub fn begin<C: Chunks>(chunks: C, coding: Coding) -> Result<Self, C> {
        let (Ok(permit), Ok(encoder)) = (COMPRESSORS.try_acquire(), Encoder::new(coding)) else { return Err(chunks) };
        Ok(Self(State::Idle(Box::new(Job { chunks: Box::new(chunks), encoder, _permit: permit }))))
    }

    /// The first `len` bytes of a file; `None` where [`Self::begin`] is an error.
    pub fn file(file: &Arc<File>, len: u64, coding: Coding) -> Option<Self> {
        let buffer = vec![0; FILE_CHUNK];
        Self::begin(FileChunks { file: Arc::clone(file), offset: 0, end: len, buffer }, coding).ok()
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match std::mem::replace(&mut self.0, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Idle(job) => self.0 = State::Busy(tokio::task::spawn_blocking(|| job.step())),
                State::Busy(mut step) => {
                    let Poll::Ready(done) = Pin::new(&mut step).poll(cx) else {
                        self.0 = State::Busy(step);
                        return Poll::Pending;
                    };
                    let (job, bytes) = match done.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
                        Ok(step) => step,
                        Err(error) => return Poll::Ready(Some(Err(BodyError::File(error)))),
                    };
                    self.0 = job.map_or(State::Done, State::Idle);
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

impl Job {
    fn step(mut self: Box<Self>) -> io::Result<Step> {
        let Self { chunks, encoder, .. } = &mut *self;
        if let Some(chunk) = chunks.next_chunk()? {
            encoder.write_all(chunk)?;
            let out = encoder.take();
            return Ok((Some(self), out));
        }
        Ok((None, self.encoder.finish()?))
    }
}

impl Chunks for FileChunks {
    fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let most = (self.end - self.offset).min(FILE_CHUNK as u64) as usize;
        if most == 0 {
            return Ok(None);
        }
        let got = self.file.read_at(&mut self.buffer[..most], self.offset)?;
        if got == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        self.offset += got as u64;
        Ok(Some(&self.buffer[..got]))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use doorstep_http::Body;

    fn decompress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut plain),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
        }
        .unwrap();
        plain
    }

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_file_of_many_chunks_is_streamed() {
        let text: Vec<u8> = (0..100_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        for coding in Coding::BY_SIZE {
            let body = Compressed::file(&file_of(&text), text.len() as u64, coding).unwrap();
            let bytes = Body::stream(body).collect(text.len()).await.unwrap();
            assert!(bytes.len() < text.len() / 2, "{coding:?} {}", bytes.len());
            assert!(decompress(coding, &bytes) == text, "{coding:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_shrank_breaks_and_one_that_grew_is_cut() {
        let shrunk = Compressed::file(&file_of(b"short"), 500, Coding::Gzip).unwrap();
        assert!(matches!(Body::stream(shrunk).collect(10_000).await, Err(BodyError::File(_))));
        let grown = Compressed::file(&file_of(b"a longer file"), 8, Coding::Gzip).unwrap();
        let bytes = Body::stream(grown).collect(10_000).await.unwrap();
        assert_eq!(decompress(Coding::Gzip, &bytes), b"a longer");
    }
}
