use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use doorstep_http::{Body, Interim, Kind, Request, Response, Timer};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::body::StreamBody;
use super::lines::Line;
use super::request::request_head;
use super::upload::Sending;
use crate::client::{Upload, UploadFraming};
use crate::headers::{HeadPlan, strip_hop_by_hop};
use crate::pool::{InFlight, Member};
use crate::relay::prepare_fields;
use crate::{ProxyError, limits};

/// A request that got no response.
pub struct Unanswered {
    pub error: ProxyError,
    pub upload: Upload,
    /// Whether the app cannot have acted on it: it was not sent, or the app said that it did not look at it.
    pub untouched: bool,
    /// Whether that was because of the connection, which had been in use before: a new one may do.
    pub stale: bool,
}

/// How a request is put to its member, and how long it may take.
pub struct Terms<'a> {
    pub request: &'a Request,
    pub plan: HeadPlan<'a>,
    pub member: &'a Member,
    pub response: Duration,
    pub idle: Duration,
}

/// Sends a request by `line` and waits for the response's head. `lease` is taken for as
/// long as the response's body lasts.
pub async fn exchange(
    mut line: Line,
    mut upload: Upload,
    terms: Terms<'_>,
    lease: &mut Option<InFlight>,
) -> Result<Response, Unanswered> {
    let Terms { request, plan, member, .. } = &terms;
    let translating = plan.translate.then_some(&member.origins);
    let place = line.occupy();
    let Some(head) = request_head(request, plan, &member.upstream) else {
        let error = ProxyError::Unwritable;
        return Err(Unanswered { error, upload, untouched: false, stale: false });
    };
    // Waits where the app allows no more streams at once.
    let ready = tokio::time::timeout(terms.response, poll_fn(|cx| line.send.poll_ready(cx))).await;
    let Ok(ready) = ready else {
        let error = ProxyError::Stalled { seconds: terms.response.as_secs() };
        return Err(Unanswered { error, upload, untouched: true, stale: false });
    };
    let whole = upload.framing() == UploadFraming::None;
    let (mut response, stream) = match ready.and_then(|()| line.send.send_request(head, whole)) {
        Ok(sent) => sent,
        Err(error) => {
            line.retire();
            return Err(Unanswered { error: ProxyError::Http2(error), upload, untouched: true, stale: true });
        }
    };
    // Reading the body is what makes the engine tell a client to continue.
    upload.release();
    let stream_id = response.stream_id().as_u32();
    let mut sending = Sending::new(stream, upload, whole);
    let answered = answer(&mut response, &mut sending, &request.interim, terms.response).await;
    let (head, recv) = match answered {
        Ok(answer) => answer.into_parts(),
        Err(error) => {
            let untouched = matches!(&error, ProxyError::Http2(error) if is_untouched(error, &line, stream_id));
            let stale = untouched && matches!(&error, ProxyError::Http2(error) if error.is_go_away());
            if stale {
                line.retire();
            }
            return Err(Unanswered { error, upload: sending.upload, untouched, stale });
        }
    };
    if head.status.is_informational() {
        let error = ProxyError::UnsolicitedUpgrade;
        return Err(Unanswered { error, upload: sending.upload, untouched: false, stale: false });
    }
    let mut headers = head.headers;
    let bodyless = request.method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    prepare_fields(request, head.status, &mut headers, translating);
    let mut answer = Response::new(head.status).with_kind(Kind::Proxied);
    answer.headers = headers;
    if !(recv.is_end_stream() || bodyless) {
        answer.body = Body::stream(StreamBody::new(recv, sending, length, terms.idle, (place, lease.take())));
    }
    Ok(answer)
}

/// The final response's head. Interim responses are passed on as they come.
async fn answer(
    response: &mut ResponseFuture,
    sending: &mut Sending,
    interim: &Interim,
    patience: Duration,
) -> Result<http::Response<RecvStream>, ProxyError> {
    let (mut timer, mut progress, mut give_up_at, mut interims) = (Timer::default(), false, None, 0);
    let patience_ends = || (Instant::now() + patience).into_std();
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = sending.poll(cx, &mut progress) {
            return Poll::Ready(Err(error));
        }
        while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
            interims += 1;
            if interims > limits::MAX_INTERIM {
                return Poll::Ready(Err(ProxyError::TooManyInterim));
            }
            progress = true;
            let (head, ()) = head.into_parts();
            if head.status != StatusCode::CONTINUE {
                let mut headers = head.headers;
                strip_hop_by_hop(&mut headers);
                interim.send(head.status, headers);
            }
        }
        if let Poll::Ready(answered) = poll_response(response, cx) {
            return Poll::Ready(answered.map_err(ProxyError::Http2));
        }
        loop {
            let at = *give_up_at.get_or_insert_with(patience_ends);
            if timer.poll(cx, at).is_pending() {
                return Poll::Pending;
            }
            if !progress && !sending.awaits_client() {
                let seconds = patience.as_secs();
                let done = sending.is_done();
                let error = if done { ProxyError::NoAnswer { seconds } } else { ProxyError::Stalled { seconds } };
                return Poll::Ready(Err(error));
            }
            progress = false;
            give_up_at = Some(patience_ends());
        }
    })
    .await
}

fn poll_response(
    response: &mut ResponseFuture,
    cx: &mut Context<'_>,
) -> Poll<Result<http::Response<RecvStream>, h2::Error>> {
    Pin::new(response).poll(cx)
}

/// Whether the app said that it did not look at the request: it refused the stream, or went away before it
/// (RFC 9113 section 8.7).
fn is_untouched(error: &h2::Error, line: &Line, stream: u32) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM) || line.disowns(stream)
}
