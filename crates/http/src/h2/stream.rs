use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorstep_net::ConnInfo;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use super::Active;
use super::body::{Progress, RequestBody};
use super::duplex::StreamIo;
use super::request::from_head;
use crate::limits::{COALESCE, H2_SEND_BUFFER, Limits};
use crate::record::{self, LONG_BODY, Record};
use crate::timer::Timer;
use crate::{Body, Engine, Interim, Kind, Outcome, Response, forwarded, sendfile};

/// Serves one stream: a request and its response.
pub(super) async fn serve(
    engine: Engine,
    info: Arc<ConnInfo>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    active: Active,
) {
    let (head, recv) = request.into_parts();
    let mut request = match from_head(head, &info) {
        Ok(request) => request,
        Err(reason) => {
            record::refused(engine.observer.as_ref(), &info, StatusCode::BAD_REQUEST);
            return refuse(&mut respond, reason);
        }
    };
    let routes = engine.routes();
    forwarded::receive(routes.options(), &mut request);
    let mut record = Record::begin(engine.observer.as_ref(), &request);
    let method = request.method.clone();
    let interim = request.interim.clone();
    let progress = Arc::new(Progress::default());
    let expects_continue = request.headers.contains_key(header::EXPECT);
    let mut tunnel = None;
    if request.upgradable {
        tunnel = Some(recv);
        progress.done.store(true, Ordering::Relaxed);
    } else if recv.is_end_stream() {
        progress.done.store(true, Ordering::Relaxed);
    } else {
        let length = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let transfer = length.is_none_or(|length: u64| length > LONG_BODY).then(|| record.announce(length, 0));
        request.body = Body::stream(RequestBody::new(recv, length, progress.clone(), transfer));
    }

    let mut timer = Timer::default();
    let made = {
        let answer = pin!(crate::engine::respond(&routes, request, &mut record));
        await_response(answer, &mut respond, &interim, &progress, &mut timer, &engine.limits).await
    };
    drop(routes);
    let received = || progress.received.load(Ordering::Relaxed);
    let mut response = match made {
        Made::Response(response) => response,
        Made::Reset => {
            active.was_reset();
            return record.finish(received(), Outcome::ClientGone);
        }
        Made::TooSlow => {
            record.responding(StatusCode::REQUEST_TIMEOUT, Kind::Page, None);
            record.finish(received(), Outcome::Refused);
            return respond.send_reset(Reason::CANCEL);
        }
    };
    if !expects_continue && !progress.finish_body(&mut timer).await {
        active.was_reset();
        return record.finish(received(), Outcome::ClientGone);
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        match (tunnel.take(), response.upgrade.take()) {
            (Some(recv), Some(upgrade)) => {
                response.status = StatusCode::OK;
                record.responding(response.status, response.kind, None);
                let sent = respond.send_response(head_of(&mut response, None), false);
                record.finish(0, if sent.is_ok() { Outcome::Complete } else { Outcome::ClientGone });
                if let Ok(send) = sent {
                    upgrade(Box::new(StreamIo::new(recv, send))).await;
                }
                return;
            }
            _ => response = Response::new(StatusCode::BAD_GATEWAY),
        }
    }
    record.tell(response.finished.take());
    let outcome = send(&mut respond, response, &method, &mut record, &mut timer, &engine.limits).await;
    if outcome == Outcome::ClientGone {
        active.was_reset();
    }
    record.finish(received(), outcome);
}

fn refuse(respond: &mut SendResponse<Bytes>, reason: &str) {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let text = Bytes::from(format!("400 malformed request: {reason}\n"));
    if let Ok(mut stream) = respond.send_response(response, false) {
        let _ = stream.send_data(text, true);
    }
}

enum Made {
    Response(Response),
    /// The client cancelled the stream, or the connection is gone.
    Reset,
    TooSlow,
}

const PACE_CHECK: Duration = Duration::from_secs(2);

async fn await_response(
    mut answer: Pin<&mut impl Future<Output = Response>>,
    respond: &mut SendResponse<Bytes>,
    interim: &Interim,
    progress: &Progress,
    timer: &mut Timer,
    limits: &Limits,
) -> Made {
    let mut next_check = None;
    std::future::poll_fn(|cx| {
        let answered = answer.as_mut().poll(cx);
        if interim.is_waiting() {
            for (status, headers) in interim.take() {
                let mut head = http::Response::new(());
                *head.status_mut() = status;
                *head.headers_mut() = headers;
                let _ = respond.send_informational(head);
            }
        }
        if let Poll::Ready(response) = answered {
            return Poll::Ready(Made::Response(response));
        }
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(Made::Reset);
        }
        if progress.done.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let check_every = PACE_CHECK.min(limits.body_window);
        let mut at = *next_check.get_or_insert_with(|| Instant::now() + check_every);
        while timer.poll(cx, at).is_ready() {
            if progress.pace.lock().is_too_slow(limits.body_window, limits.body_min_rate) {
                return Poll::Ready(Made::TooSlow);
            }
            at = Instant::now() + check_every;
            next_check = Some(at);
        }
        Poll::Pending
    })
    .await
}

/// The response's head; fields that belong to a connection are left out (RFC 9113 section 8.2.2).
fn head_of(response: &mut Response, length: Option<u64>) -> http::Response<()> {
    const CONNECTION_SPECIFIC: [HeaderName; 5] = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    let mut headers: HeaderMap = std::mem::take(&mut response.headers);
    for name in CONNECTION_SPECIFIC {
        headers.remove(name);
    }
    headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !headers.contains_key(header::DATE) {
        headers.insert(header::DATE, crate::date::now());
    }
    let mut head = http::Response::new(());
    *head.status_mut() = response.status;
    *head.headers_mut() = headers;
    head
}

async fn send(
    respond: &mut SendResponse<Bytes>,
    mut response: Response,
    method: &Method,
    record: &mut Record<'_>,
    timer: &mut Timer,
    limits: &Limits,
) -> Outcome {
    let status = response.status;
    let known = response.body.len();
    let bodyless = *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || status.is_informational();
    let length = if bodyless { known.filter(|length| *length > 0) } else { known };
    if !bodyless {
        response.headers.remove(header::CONTENT_LENGTH);
    }
    record.responding(status, response.kind, if bodyless { Some(0) } else { known });
    let head = head_of(&mut response, length);
    let ends_here = bodyless || response.body.is_empty();
    let Ok(mut stream) = respond.send_response(head, ends_here) else { return Outcome::ClientGone };
    if ends_here {
        return Outcome::Complete;
    }
    if let Body::Full(bytes) = &response.body
        && bytes.len() <= COALESCE
    {
        let length = bytes.len() as u64;
        return match stream.send_data(bytes.clone(), true) {
            Ok(()) => {
                record.sent(length);
                Outcome::Complete
            }
            Err(_) => Outcome::ClientGone,
        };
    }
    send_body(&mut stream, response.body, known, record, timer, limits).await
}

async fn send_body(
    stream: &mut SendStream<Bytes>,
    mut body: Body,
    mut left: Option<u64>,
    record: &mut Record<'_>,
    timer: &mut Timer,
    limits: &Limits,
) -> Outcome {
    loop {
        // Bytes that are sure to come are made only once there is room for them: a client that asks for much and
        // reads nothing must not fill the memory with it.
        let mut most = None;
        if let Some(left) = left.filter(|left| *left > 0) {
            // What is reserved is kept from other streams, so a body that may be slow reserves no more than a sign.
            let sure = if matches!(body, Body::File(_)) { left } else { 1 };
            match wait_for_room(stream, sure, timer, limits).await {
                Ok(room) => most = Some(room),
                Err(outcome) => return outcome,
            }
        }
        if let Body::File(range) = &mut body
            && sendfile::warm(range).await.is_err()
        {
            return broken(stream);
        }
        let next = match (&mut body, most) {
            (Body::File(range), Some(most)) if range.len > 0 => match range.read_chunk(most as u64) {
                Ok(data) => Next::Frame(http_body::Frame::data(data)),
                Err(_) => Next::Failed,
            },
            (body, _) => next_frame(body, stream).await,
        };
        let frame = match next {
            Next::Frame(frame) => frame,
            Next::End if left.is_none_or(|left| left == 0) => {
                return ended(stream.send_data(Bytes::new(), true).is_ok());
            }
            Next::End | Next::Failed => return broken(stream),
            Next::Reset => return Outcome::ClientGone,
        };
        let mut data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                return ended(frame.into_trailers().is_ok_and(|trailers| stream.send_trailers(trailers).is_ok()));
            }
        };
        if let Some(left) = &mut left {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return broken(stream),
            }
        }
        while !data.is_empty() {
            let room = match wait_for_room(stream, data.len() as u64, timer, limits).await {
                Ok(room) => room,
                Err(outcome) => return outcome,
            };
            let piece = data.split_to(room.min(data.len()));
            let (length, last) = (piece.len() as u64, data.is_empty() && left == Some(0));
            if stream.send_data(piece, last).is_err() {
                return Outcome::ClientGone;
            }
            record.sent(length);
            if last {
                return Outcome::Complete;
            }
        }
    }
}

/// Room for up to `wanted` bytes, at least one; the outcome if there will be none.
async fn wait_for_room(
    stream: &mut SendStream<Bytes>,
    wanted: u64,
    timer: &mut Timer,
    limits: &Limits,
) -> Result<usize, Outcome> {
    stream.reserve_capacity(usize::try_from(wanted).unwrap_or(usize::MAX).min(H2_SEND_BUFFER));
    match poll_room(stream, timer, Instant::now() + limits.write_stall).await {
        Room::Bytes(room) => Ok(room),
        Room::Gone => Err(Outcome::ClientGone),
        Room::Stalled => {
            stream.send_reset(Reason::CANCEL);
            Err(Outcome::ClientGone)
        }
    }
}

fn ended(sent: bool) -> Outcome {
    if sent { Outcome::Complete } else { Outcome::ClientGone }
}

fn broken(stream: &mut SendStream<Bytes>) -> Outcome {
    stream.send_reset(Reason::INTERNAL_ERROR);
    Outcome::Broken
}

enum Next {
    Frame(http_body::Frame<Bytes>),
    Failed,
    End,
    Reset,
}

async fn next_frame(body: &mut Body, stream: &mut SendStream<Bytes>) -> Next {
    std::future::poll_fn(|cx: &mut Context<'_>| match http_body::Body::poll_frame(Pin::new(&mut *body), cx) {
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Next::Frame(frame)),
        Poll::Ready(Some(Err(_))) => Poll::Ready(Next::Failed),
        Poll::Ready(None) => Poll::Ready(Next::End),
        Poll::Pending => stream.poll_reset(cx).map(|_| Next::Reset),
    })
    .await
}

/// Room in the client's window and our buffer.
enum Room {
    Bytes(usize),
    /// The stream is reset, by the client or by the framing layer, which told the client why.
    Gone,
    Stalled,
}

async fn poll_room(stream: &mut SendStream<Bytes>, timer: &mut Timer, deadline: Instant) -> Room {
    std::future::poll_fn(|cx| {
        loop {
            if stream.capacity() > 0 {
                return Poll::Ready(Room::Bytes(stream.capacity()));
            }
            match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Room::Gone),
                Poll::Pending => return timer.poll(cx, deadline).map(|()| Room::Stalled),
            }
        }
    })
    .await
}
