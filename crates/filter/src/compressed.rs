//! Bodies that are compressed as they pass, in bounded memory.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_http::coding::{Coding, Encoder, compress};
use doorstep_http::{Body, BodyError};
use http_body::Frame;

use crate::limits::{COMPRESS_STEP, MAX_COMPRESSORS};

/// Compresses what is small enough to be done with at once; `None` where there is no room.
pub(crate) fn at_once(coding: Coding, bytes: &[u8]) -> Option<Bytes> {
    let _place = Place::take()?;
    compress(coding, bytes).ok()
}

/// A body that is compressed as the client takes it. What the app sent before a pause goes out before the pause.
pub(crate) struct Compressed {
    body: Body,
    /// `None` once all has come out.
    encoder: Option<Encoder>,
    /// Received and not yet compressed.
    waiting: Bytes,
    /// Something is in the encoder that the client has not got.
    unflushed: bool,
    trailers: Option<Frame<Bytes>>,
    _place: Place,
}

impl Compressed {
    /// Gives the body back where there is no room.
    pub(crate) fn begin(body: Body, coding: Coding) -> Result<Self, Body> {
        let (Some(place), Ok(encoder)) = (Place::take(), Encoder::new(coding)) else { return Err(body) };
        Ok(Self {
            body,
            encoder: Some(encoder),
            waiting: Bytes::new(),
            unflushed: false,
            trailers: None,
            _place: place,
        })
    }

    /// Compresses a step of what waits. `None` if nothing came out.
    fn step(&mut self) -> io::Result<Option<Bytes>> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        let piece = self.waiting.split_to(self.waiting.len().min(COMPRESS_STEP));
        encoder.write_all(&piece)?;
        self.unflushed = true;
        Ok(some(encoder.take()))
    }

    /// The app pauses: whatever it said comes out.
    fn flush(&mut self) -> io::Result<Option<Bytes>> {
        let Some(encoder) = self.encoder.as_mut().filter(|_| self.unflushed) else { return Ok(None) };
        self.unflushed = false;
        encoder.flush()?;
        Ok(some(encoder.take()))
    }

    fn end(&mut self) -> io::Result<Option<Bytes>> {
        self.encoder.take().map_or(Ok(None), |encoder| encoder.finish().map(some))
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let out = if !self.waiting.is_empty() {
                self.step()
            } else if self.encoder.is_none() {
                return Poll::Ready(self.trailers.take().map(Ok));
            } else {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => match self.flush() {
                        Ok(None) => return Poll::Pending,
                        out => out,
                    },
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => self.end(),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            self.waiting = data;
                            continue;
                        }
                        Err(trailers) => {
                            self.trailers = Some(trailers);
                            self.end()
                        }
                    },
                }
            };
            match out {
                Ok(None) => {}
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(_) => return Poll::Ready(Some(Err(BodyError::Stopped("the response could not be compressed")))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

fn some(bytes: Vec<u8>) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.into())
}

/// One of [`MAX_COMPRESSORS`].
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Option<Self> {
        let more = |taken| (taken < MAX_COMPRESSORS).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http::HeaderMap;

    use super::*;

    /// Frames one after the other, with a pause before each.
    struct Pausing(Vec<Option<Frame<Bytes>>>);

    impl http_body::Body for Pausing {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            match self.0.pop() {
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Ready(None),
            }
        }
    }

    async fn frames(body: Body, coding: Coding) -> Vec<Frame<Bytes>> {
        let Ok(mut body) = Compressed::begin(body, coding) else { panic!("no room") };
        let mut frames = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await {
            frames.push(frame.unwrap());
        }
        frames
    }

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        plain
    }

    #[tokio::test]
    async fn a_large_body_goes_in_steps() {
        let text: Vec<u8> = (0..50_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        let frames = frames(Body::from(text.clone()), Coding::Gzip).await;
        let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.data_ref().unwrap().to_vec()).collect();
        assert!(frames.len() > 2 && wire.len() < text.len() / 2);
        assert!(gunzip(&wire) == text);
    }

    #[tokio::test]
    async fn what_was_sent_before_a_pause_goes_out_before_it() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        let steps = vec![
            Some(Frame::trailers(trailers)),
            None,
            Some(Frame::data(Bytes::from_static(b"second"))),
            None,
            Some(Frame::data(Bytes::from_static(b"first "))),
        ];
        let frames = frames(Body::stream(Pausing(steps)), Coding::Gzip).await;
        let data: Vec<&Bytes> = frames.iter().filter_map(Frame::data_ref).collect();
        // The format's own head, and what was flushed.
        let before_the_pause = [&data[0][..], &data[1][..]].concat();
        let mut early = flate2::read::GzDecoder::new(&before_the_pause[..]);
        let mut first = [0; 6];
        early.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first ");
        assert_eq!(gunzip(&data.iter().flat_map(|bytes| bytes.to_vec()).collect::<Vec<u8>>()), b"first second");
        assert!(frames.last().unwrap().is_trailers());
    }
}
