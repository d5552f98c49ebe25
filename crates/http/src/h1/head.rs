use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use doorstep_proto::http1::limits::MAX_LEADING_EMPTY_LINES;
use doorstep_proto::http1::{HeadError, HeadScanner};

use super::wire::Wire;
use crate::limits::Limits;
use crate::timer::Timer;

/// How HTTP/2 with prior knowledge begins (RFC 9113 section 3.4).
pub(super) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What came next on a connection that waits for a request.
pub(super) enum Next {
    /// A whole head, final empty line included.
    Head(Bytes),
    /// The HTTP/2 preface; it is still in the buffer.
    Http2,
    Refused(HeadError),
    TooSlow,
    /// The client closed, a drain is in a hurry, or no request ever came.
    Closed,
    /// The client has made no further request for too long.
    Idle,
}

pub(super) struct Wait<'a, D> {
    pub timer: &'a mut Timer,
    pub draining: Pin<&'a mut D>,
    pub limits: &'a Limits,
    pub first: bool,
}

pub(super) async fn next_head<D: Future<Output = ()>>(wire: &Wire, wait: &mut Wait<'_, D>) -> Next {
    let began = Instant::now();
    let silence = if wait.first { wait.limits.first_byte } else { wait.limits.keep_alive };
    let mut scanner = HeadScanner::default();
    let mut empty_lines = 0;
    let mut first_byte_at = None;
    let mut drained = false;
    std::future::poll_fn(|cx| {
        let mut inner = wire.lock();
        loop {
            if !inner.buffer.is_empty() {
                if let Err(error) = skip_empty_lines(&mut inner.buffer, &mut empty_lines) {
                    return Poll::Ready(Next::Refused(error));
                }
                match find_head(&mut inner.buffer, &mut scanner) {
                    Ok(Some(Next::Http2)) if empty_lines > 0 => {
                        return Poll::Ready(Next::Refused(HeadError::Malformed("HTTP/2 begins with its preface")));
                    }
                    Ok(Some(next)) => return Poll::Ready(next),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Next::Refused(error)),
                }
            }
            match inner.poll_fill(cx) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Next::Closed),
                Poll::Pending => break,
            }
        }
        let idle = inner.buffer.is_empty() && empty_lines == 0;
        drop(inner);
        drained = drained || wait.draining.as_mut().poll(cx).is_ready();
        if idle {
            if drained && !wait.first {
                return Poll::Ready(Next::Closed);
            }
            // A connection that a drain finds without its first request gets a moment: the request may be on its way.
            let patience = if drained { silence.min(Duration::from_secs(1)) } else { silence };
            let never_asked = wait.first || drained;
            return wait.timer.poll(cx, began + patience).map(|()| if never_asked { Next::Closed } else { Next::Idle });
        }
        let since = *first_byte_at.get_or_insert_with(Instant::now);
        wait.timer.poll(cx, since + wait.limits.head).map(|()| Next::TooSlow)
    })
    .await
}

/// Some clients send an empty line after a body (RFC 9112 section 2.2).
fn skip_empty_lines(buffer: &mut BytesMut, skipped: &mut usize) -> Result<(), HeadError> {
    while buffer.starts_with(b"\r\n") {
        *skipped += 1;
        if *skipped > MAX_LEADING_EMPTY_LINES {
            return Err(HeadError::Malformed("empty lines instead of a request"));
        }
        buffer.advance(2);
    }
    Ok(())
}

fn find_head(buffer: &mut BytesMut, scanner: &mut HeadScanner) -> Result<Option<Next>, HeadError> {
    if buffer.first() == Some(&b'P') && HTTP2_PREFACE.starts_with(&buffer[..buffer.len().min(HTTP2_PREFACE.len())]) {
        return Ok((buffer.len() >= HTTP2_PREFACE.len()).then_some(Next::Http2));
    }
    match buffer.first() {
        Some(0x16) => return Err(HeadError::Malformed("this is TLS (https://), and here is plain HTTP (http://)")),
        Some(first) if !first.is_ascii_graphic() && *first != b'\r' && *first != b'\n' => {
            return Err(HeadError::Malformed("this is not HTTP"));
        }
        _ => {}
    }
    // A lone CR may become an empty line with the next byte; the scanner must not have seen it then.
    if buffer[..] == *b"\r" {
        return Ok(None);
    }
    Ok(scanner.scan(buffer)?.map(|end| {
        let head = buffer.split_to(end).freeze();
        if buffer.is_empty() {
            // An idle connection holds no buffer.
            *buffer = BytesMut::new();
        }
        Next::Head(head)
    }))
}
