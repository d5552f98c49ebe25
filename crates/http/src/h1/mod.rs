//! The HTTP/1 server: one task per connection, one request at a time.

mod body;
mod exchange;
mod head;
mod rewind;
mod send;
mod wire;

use std::pin::{Pin, pin};
use std::time::Instant;

use bytes::Bytes;
use doorstep_net::{Conn, Drain, Io};
use doorstep_proto::http1::HeadError;
use http::StatusCode;

use self::exchange::{Exchanged, exchange};
use self::head::{Next, next_head};
use self::wire::Wire;
use crate::limits::{LINGER, MAX_LINGERED};
use crate::timer::Timer;
use crate::{Engine, Interim, h2};

/// Serves a connection until it is closed, by either side.
pub(crate) async fn serve(engine: &Engine, conn: Conn, drain: Drain) {
    let Conn { io, info } = conn;
    let wire = Wire::new(io);
    let mut timer = Timer::default();
    let mut interim = Interim::default();
    let mut first = true;
    {
        // A gentle drain lets a connection idle on: its next answer is its last.
        let mut draining = pin!(drain.hurried());
        loop {
            let mut wait = head::Wait { timer: &mut timer, draining: draining.as_mut(), limits: &engine.limits, first };
            match next_head(&wire, &mut wait).await {
                Next::Head(head) => {
                    first = false;
                    // Boxed, so that an idle connection does not carry the room that a request needs.
                    interim.renew();
                    let served = Box::pin(exchange(engine, &wire, &info, head, &interim, &mut timer, &drain)).await;
                    match served {
                        Exchanged::KeepAlive => {}
                        Exchanged::Close => break,
                        Exchanged::Abort => return,
                        Exchanged::Upgrade(upgrade) => return upgrade(wire.take()).await,
                    }
                }
                Next::Http2 if first => break,
                Next::Http2 => return refuse(&wire, StatusCode::BAD_REQUEST, "malformed request").await,
                Next::Refused(error) => return refuse_head(engine, &wire, &info, error).await,
                Next::TooSlow => {
                    return refuse(&wire, StatusCode::REQUEST_TIMEOUT, "the request's header came too slowly").await;
                }
                Next::Closed => return,
                // A request may be on its way. Its client shall see a plain end, after which it can ask again, and not a
                // reset.
                Next::Idle => break,
            }
        }
    }
    if wire.lock().buffer.starts_with(head::HTTP2_PREFACE) {
        let io = Io::Other(wire.take());
        return Box::pin(h2::serve(engine, Conn { io, info }, drain)).await;
    }
    linger(&wire, &mut timer).await;
}

async fn refuse_head(engine: &Engine, wire: &Wire, info: &doorstep_net::ConnInfo, error: HeadError) {
    crate::record::refused(engine.observer.as_ref(), info, error.status());
    refuse(wire, error.status(), &error.to_string()).await;
}

/// Answers a request that never became one, and closes.
async fn refuse(wire: &Wire, status: StatusCode, reason: &str) {
    let text = format!("{} {reason}\n", status.as_str());
    let answer = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\nDate: {}\r\n\r\n{text}",
        status.as_str(),
        status.canonical_reason().unwrap_or(""),
        text.len(),
        crate::date::now().to_str().unwrap_or_default(),
    );
    let mut timer = Timer::default();
    let deadline = Instant::now() + LINGER;
    if send::write_all(wire, Bytes::from(answer), &mut timer, deadline).await.is_ok() {
        linger(wire, &mut timer).await;
    }
}

/// Closes so that the client can still read the last response: closing with unread bytes would make the kernel reset the
/// connection and take the response back (RFC 9112 section 9.6).
async fn linger(wire: &Wire, timer: &mut Timer) {
    use tokio::io::AsyncWrite;
    let deadline = Instant::now() + LINGER;
    let mut discarded = 0;
    let mut shut = false;
    std::future::poll_fn(|cx| {
        let mut inner = wire.lock();
        if !shut {
            match Pin::new(&mut inner.io).poll_shutdown(cx) {
                std::task::Poll::Ready(Ok(())) => shut = true,
                std::task::Poll::Ready(Err(_)) => return std::task::Poll::Ready(()),
                std::task::Poll::Pending => return timer.poll(cx, deadline),
            }
        }
        while !inner.eof && discarded < MAX_LINGERED {
            inner.buffer.clear();
            match inner.poll_fill(cx) {
                std::task::Poll::Ready(Ok(read)) if read > 0 => discarded += read as u64,
                std::task::Poll::Ready(_) => break,
                std::task::Poll::Pending => return timer.poll(cx, deadline),
            }
        }
        std::task::Poll::Ready(())
    })
    .await;
}
