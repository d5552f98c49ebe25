use std::task::{Context, Poll, ready};

use bytes::Bytes;
use doorstep_http::BodyError;
use h2::{Reason, SendStream};

use crate::client::Upload;
use crate::{ProxyError, limits};

/// A request's body on its way into a stream.
pub struct Sending {
    pub upload: Upload,
    stream: SendStream<Bytes>,
    pending: Bytes,
    done: bool,
}

impl Sending {
    /// `done` if the head was all of the request.
    pub fn new(stream: SendStream<Bytes>, upload: Upload, done: bool) -> Self {
        Self { upload, stream, pending: Bytes::new(), done }
    }

    /// Sends what there is of the body. Ready when all is sent, or the app wants no more of it. `progress` becomes true
    /// with each piece that the app takes.
    pub fn poll(&mut self, cx: &mut Context<'_>, progress: &mut bool) -> Poll<Result<(), ProxyError>> {
        while !self.done {
            if !self.pending.is_empty() {
                match ready!(self.poll_room(cx)) {
                    Some(room) => {
                        let piece = self.pending.split_to(room.min(self.pending.len()));
                        *progress = true;
                        self.done = self.stream.send_data(piece, false).is_err();
                    }
                    // Reset, or the connection is gone: the response's side of the stream says why.
                    None => self.done = true,
                }
                continue;
            }
            match self.upload.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.pending = data,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            let _ = self.stream.send_trailers(trailers);
                            self.done = true;
                        }
                    }
                },
                Poll::Ready(None) => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    self.done = true;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.fail(error))),
                Poll::Pending => {
                    self.done = self.stream.poll_reset(cx).is_ready();
                    if !self.done {
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether all is sent that will be.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether it is the client that keeps it from getting on.
    pub fn awaits_client(&self) -> bool {
        !self.done && self.pending.is_empty()
    }

    fn fail(&mut self, error: BodyError) -> ProxyError {
        self.done = true;
        // An app must not take half a body for a whole one.
        self.stream.send_reset(Reason::CANCEL);
        ProxyError::RequestBody(error)
    }

    /// Room in the app's window and our buffer, at least one byte; `None` if there will be none.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.stream.reserve_capacity(self.pending.len().min(limits::H2_SEND_BUFFER));
        loop {
            if self.stream.capacity() > 0 {
                return Poll::Ready(Some(self.stream.capacity()));
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}
