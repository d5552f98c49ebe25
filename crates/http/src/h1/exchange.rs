use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use doorstep_net::{ConnInfo, Drain};
use doorstep_proto::http1::{BodyFraming, HeadError, RequestHead, parse_request, write_response_head};
use http::{Method, StatusCode, Version};

use super::body::{RequestBody, poll_body};
use super::send::{Sending, send, write_all};
use super::wire::Wire;
use crate::engine::respond;
use crate::limits::{LINGER, Limits, MAX_DISCARDED};
use crate::record::{LONG_BODY, Record};
use crate::route::TableOptions;
use crate::timer::Timer;
use crate::{
    Body, Captures, Engine, Interim, Kind, Outcome, Request, RequestParts, Response, Upgrade, forwarded, pages, path,
};

/// What becomes of the connection after an exchange.
pub(super) enum Exchanged {
    KeepAlive,
    Close,
    /// The client is gone, or a response broke off: close without a word.
    Abort,
    Upgrade(Upgrade),
}

/// Serves one request.
pub(super) async fn exchange(
    engine: &Engine,
    wire: &Wire,
    info: &Arc<ConnInfo>,
    head: Bytes,
    interim: &Interim,
    timer: &mut Timer,
    drain: &Drain,
) -> Exchanged {
    // What is rarely needed is boxed, here and below: the future of an exchange is made for each request, and memory
    // of more than a kilobyte takes the allocator much longer to find.
    let routes = engine.routes();
    let Begun { request, mut record, asked } = match begin(engine, routes.options(), wire, info, head, interim) {
        Ok(begun) => begun,
        Err(error) => {
            drop(routes);
            Box::pin(super::refuse_head(engine, wire, info, error)).await;
            return Exchanged::Abort;
        }
    };
    let mut response = {
        let made = if request.path.is_empty() {
            let detail = "The path of this request is malformed.";
            Made::Response(pages::problem(&request, StatusCode::BAD_REQUEST, detail))
        } else {
            let answer = pin!(respond(&routes, request, &mut record));
            await_response(answer, wire, timer, &engine.limits, interim, asked.keeps).await
        };
        drop(routes);
        match made {
            Made::Response(response) => response,
            Made::ClientGone => {
                record.responding(client_closed_request(), Kind::Page, None);
                record.finish(wire.lock().received, Outcome::ClientGone);
                return Exchanged::Abort;
            }
            Made::TooSlow => {
                record.responding(StatusCode::REQUEST_TIMEOUT, Kind::Page, None);
                record.finish(wire.lock().received, Outcome::Refused);
                let reason = "the request's body came too slowly";
                Box::pin(super::refuse(wire, StatusCode::REQUEST_TIMEOUT, reason)).await;
                return Exchanged::Abort;
            }
        }
    };

    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        match response.upgrade.take().filter(|_| asked.upgradable) {
            Some(upgrade) => {
                return Box::pin(switch(wire, response, upgrade, record, timer, &engine.limits)).await;
            }
            None => response = Response::new(StatusCode::BAD_GATEWAY),
        }
    }
    wire.lock().response_started = true;
    record.tell(response.finished.take());
    let sending = Sending {
        method: &asked.method,
        version: asked.version,
        client_keeps: asked.keeps,
        draining: drain.is_draining(),
        asked_to_keep: asked.to_keep,
    };
    let sent = send(wire, &mut response, &sending, &mut record, timer, &engine.limits).await;
    let received = wire.lock().received;
    match sent {
        Ok(reusable) => {
            record.finish(received, Outcome::Complete);
            if reusable && discard_body(wire, timer).await { Exchanged::KeepAlive } else { Exchanged::Close }
        }
        Err(error) => {
            record.finish(received, error.outcome());
            Exchanged::Abort
        }
    }
}

/// A request that is about to be served.
struct Begun<'a> {
    request: Request,
    record: Record<'a>,
    asked: Asked,
}

/// What is needed of a request once its service has it.
struct Asked {
    method: Method,
    version: Version,
    /// Whether the client allows another request on the connection.
    keeps: bool,
    /// Whether it asked for that in so many words.
    to_keep: bool,
    upgradable: bool,
}

fn begin<'a>(
    engine: &'a Engine,
    options: &TableOptions,
    wire: &Wire,
    info: &Arc<ConnInfo>,
    head: Bytes,
    interim: &Interim,
) -> Result<Begun<'a>, HeadError> {
    let head = parse_request(&head)?;
    let framing = head.framing;
    let asked = Asked {
        method: head.method.clone(),
        version: head.version,
        keeps: head.keep_alive,
        to_keep: head.asks_to_keep,
        upgradable: head.upgrade,
    };
    wire.begin(framing, head.expects_continue);
    let mut request = into_request(head, info, interim.clone());
    forwarded::receive(options, &mut request);
    let record = Record::begin(engine.observer.as_ref(), &request);
    request.body = body_of(framing, wire, &record);
    Ok(Begun { request, record, asked })
}

/// nginx's 499: no answer was sent, because nobody was there to read it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The request as services see it, its body still to come; its path is empty where it is malformed.
fn into_request(head: RequestHead, info: &Arc<ConnInfo>, interim: Interim) -> Request {
    let path = if head.target == "*" { Some("*".to_owned()) } else { path::canonical(head.target.path()) };
    Request::from(RequestParts {
        method: head.method,
        target: path::one_leading_slash(head.target),
        path: path.unwrap_or_default(),
        authority: head.authority,
        version: head.version,
        headers: head.headers,
        body: Body::Empty,
        conn: info.clone(),
        interim,
        upgradable: head.upgrade,
        vouched: crate::Vouched::default(),
        captures: Captures::default(),
        id: None,
    })
}

fn body_of(framing: BodyFraming, wire: &Wire, record: &Record<'_>) -> Body {
    let length = match framing {
        BodyFraming::None | BodyFraming::UntilClose | BodyFraming::Length(0) => return Body::Empty,
        BodyFraming::Length(length) => Some(length),
        BodyFraming::Chunked => None,
    };
    let transfer = (length.is_none_or(|length| length > LONG_BODY)).then(|| record.announce(length, 0));
    Body::stream(RequestBody::new(wire.clone(), length, transfer))
}

enum Made {
    Response(Response),
    ClientGone,
    TooSlow,
}

/// How often the pace of a request body is looked at.
const PACE_CHECK: Duration = Duration::from_secs(2);

/// Runs the service. Meanwhile 1xx responses go out, a client that leaves cancels it, and a body must keep its pace.
async fn await_response(
    mut answer: Pin<&mut impl Future<Output = Response>>,
    wire: &Wire,
    timer: &mut Timer,
    limits: &Limits,
    interim: &Interim,
    client_keeps: bool,
) -> Made {
    let mut next_check = None;
    let mut closed = false;
    loop {
        let step = std::future::poll_fn(|cx| {
            if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(Made::Response(response)));
            }
            if interim.is_waiting() {
                return Poll::Ready(None);
            }
            let mut inner = wire.lock();
            if inner.body_done() {
                if !closed && inner.poll_closed(cx).is_ready() {
                    closed = true;
                    // A client that announced its last request may close its side and still wait for the answer.
                    if client_keeps {
                        return Poll::Ready(Some(Made::ClientGone));
                    }
                }
                return Poll::Pending;
            }
            let check_every = PACE_CHECK.min(limits.body_window);
            let mut at = *next_check.get_or_insert_with(|| Instant::now() + check_every);
            while timer.poll(cx, at).is_ready() {
                if inner.pace.is_too_slow(limits.body_window, limits.body_min_rate) {
                    return Poll::Ready(Some(Made::TooSlow));
                }
                at = Instant::now() + check_every;
                next_check = Some(at);
            }
            Poll::Pending
        })
        .await;
        if interim.is_waiting() && !Box::pin(send_interim(interim, wire, timer, limits)).await {
            return Made::ClientGone;
        }
        if let Some(made) = step {
            return made;
        }
    }
}

/// Writes the 1xx responses that wait. `false` if the client is gone.
async fn send_interim(interim: &Interim, wire: &Wire, timer: &mut Timer, limits: &Limits) -> bool {
    let deadline = Instant::now() + limits.write_stall;
    for (status, headers) in interim.take() {
        // The body's own 100 is not needed any more once the app's has gone out.
        wire.lock().continue_due &= status != StatusCode::CONTINUE;
        let mut bytes = Vec::new();
        write_response_head(&mut bytes, Version::HTTP_11, status, &headers);
        bytes.extend_from_slice(b"\r\n");
        if write_all(wire, bytes.into(), timer, deadline).await.is_err() {
            return false;
        }
    }
    true
}

async fn switch(
    wire: &Wire,
    response: Response,
    upgrade: Upgrade,
    mut record: Record<'_>,
    timer: &mut Timer,
    limits: &Limits,
) -> Exchanged {
    let mut head = Vec::with_capacity(256);
    write_response_head(&mut head, Version::HTTP_11, response.status, &response.headers);
    head.extend_from_slice(b"\r\n");
    record.responding(response.status, response.kind, None);
    let written = write_all(wire, head.into(), timer, Instant::now() + limits.write_stall).await;
    let outcome = if written.is_ok() { Outcome::Complete } else { Outcome::ClientGone };
    record.finish(0, outcome);
    if written.is_ok() { Exchanged::Upgrade(upgrade) } else { Exchanged::Abort }
}

/// Reads what a service left of a request body, so that the connection can be used again. `false` if it cannot.
async fn discard_body(wire: &Wire, timer: &mut Timer) -> bool {
    if wire.lock().body_done() {
        return true;
    }
    let deadline = Instant::now() + LINGER;
    let mut discarded = 0;
    std::future::poll_fn(|cx| {
        let mut inner = wire.lock();
        // The client was never told to send its body, so it is free to send it or not: no framing to rely on.
        if inner.continue_due && inner.received == 0 {
            return Poll::Ready(false);
        }
        loop {
            match poll_body(&mut inner, cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(frame))) => {
                    discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
                    if discarded > MAX_DISCARDED {
                        return Poll::Ready(false);
                    }
                }
                Poll::Pending => return timer.poll(cx, deadline).map(|()| false),
            }
        }
    })
    .await
}
