use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use doorstep_http::Interim;
use doorstep_proto::http1::{self, HeadScanner, ResponseHead};
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};

use super::{Connection, Upload};
use crate::{ProxyError, limits};

/// A response's head, and what its body will come from.
pub struct Answer {
    pub head: ResponseHead,
    pub connection: Connection,
    /// Not necessarily sent yet: a response may begin before its request has ended.
    pub upload: Upload,
}

/// A request that got no response.
pub struct Failure {
    pub error: ProxyError,
    pub upload: Upload,
    /// Whether not a byte of the request left, so that the app cannot have seen it.
    pub unsent: bool,
    /// Whether the connection was closed without a byte of a response.
    pub stale: bool,
    /// Whether the connection had been idle before.
    pub reused: bool,
}

/// Sends the request whose head is in `connection.out`, and reads the final response's head. Interim responses are
/// passed on as they come. `patience` is how long the upstream may do nothing.
pub async fn exchange(
    mut connection: Connection,
    mut upload: Upload,
    method: &Method,
    interim: &Interim,
    patience: Duration,
) -> Result<Answer, Failure> {
    let patience_ends = || (Instant::now() + patience).into_std();
    let mut reading = Reading { scanner: HeadScanner::default(), interims: 0, answered: false, write_error: None };
    let outcome = {
        let mut give_up_at = None;
        let mut held = upload.is_held().then(|| Box::pin(sleep(limits::CONTINUE_WAIT)));
        let mut progress = false;
        poll_fn(|cx| {
            loop {
                match reading.poll(cx, &mut connection, &mut upload, method, interim, &mut progress) {
                    Poll::Ready(outcome) => return Poll::Ready(outcome),
                    Poll::Pending => {}
                }
                if upload.is_held() && held.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                    upload.release();
                    continue;
                }
                let at = *give_up_at.get_or_insert_with(patience_ends);
                if connection.timer.poll(cx, at).is_pending() {
                    return Poll::Pending;
                }
                if !progress && !upload.awaits_client() {
                    let seconds = patience.as_secs();
                    let sent = upload.is_sent() && connection.is_flushed();
                    let error = if sent { ProxyError::NoAnswer { seconds } } else { ProxyError::Stalled { seconds } };
                    return Poll::Ready(Err(error));
                }
                progress = false;
                give_up_at = Some(patience_ends());
            }
        })
        .await
    };
    match outcome {
        Ok(head) => Ok(Answer { head, connection, upload }),
        Err(error) => {
            let closed = matches!(error, ProxyError::Closed | ProxyError::Broken(_));
            let (reused, unsent) = (connection.reused, closed && !connection.wrote);
            Err(Failure { error, upload, unsent, stale: closed && !reading.answered, reused })
        }
    }
}

struct Reading {
    scanner: HeadScanner,
    interims: usize,
    answered: bool,
    write_error: Option<io::Error>,
}

impl Reading {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        upload: &mut Upload,
        method: &Method,
        interim: &Interim,
        progress: &mut bool,
    ) -> Poll<Result<ResponseHead, ProxyError>> {
        loop {
            if self.write_error.is_none() && !(upload.is_sent() && connection.is_flushed()) {
                match upload.poll(cx, connection) {
                    Poll::Ready(Ok(())) => *progress = true,
                    // The app may have said why it takes no more; its answer counts.
                    Poll::Ready(Err(ProxyError::Broken(error))) => self.write_error = Some(error),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            if let Some(head) = self.take_head(connection, method)? {
                if head.status == StatusCode::SWITCHING_PROTOCOLS || !head.status.is_informational() {
                    if self.write_error.is_some() {
                        upload.abandon();
                    }
                    return Poll::Ready(Ok(head));
                }
                self.interims += 1;
                if self.interims > limits::MAX_INTERIM {
                    return Poll::Ready(Err(ProxyError::TooManyInterim));
                }
                *progress = true;
                if head.status == StatusCode::CONTINUE {
                    // Reading the body is what makes the engine tell the client to continue.
                    upload.release();
                } else {
                    let mut headers = head.headers;
                    crate::headers::strip_hop_by_hop(&mut headers);
                    interim.send(head.status, headers);
                }
                continue;
            }
            match connection.poll_fill(cx, limits::SMALL_READ) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let error = self.write_error.take().map_or(ProxyError::Closed, ProxyError::Broken);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(_)) => self.answered = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ProxyError::Broken(error))),
            }
        }
    }

    fn take_head(&mut self, connection: &mut Connection, method: &Method) -> Result<Option<ResponseHead>, ProxyError> {
        let Some(end) = self.scanner.scan(&connection.read).map_err(ProxyError::Malformed)? else { return Ok(None) };
        self.scanner = HeadScanner::default();
        let head = connection.read.split_to(end).freeze();
        http1::parse_response(&head, method).map(Some).map_err(ProxyError::Malformed)
    }
}
