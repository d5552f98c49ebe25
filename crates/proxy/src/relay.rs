//! What becomes of an answer, whoever chose the upstream that gave it.

use std::time::Duration;

use bytes::Bytes;
use doorstep_http::{Body, Kind, Request, Response};
use doorstep_net::BoxIo;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::ProxyError;
use crate::client::{Answer, Inspect, UploadFraming, UpstreamBody};
use crate::headers::{Origins, Translated, strip_hop_by_hop, translate};
use crate::idle::Home;
use crate::pool::InFlight;
use crate::tunnel::tunnel;

/// What becomes of a response's body and its connection.
pub struct Back {
    pub home: Home,
    /// The longest pause within the response's body.
    pub most_idle: Duration,
    pub inspect: Option<Inspect>,
}

/// Whether the request's body waits for `100 Continue`.
pub fn expects_continue(request: &Request) -> bool {
    request.header(header::EXPECT).is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}

/// The response for the client, of an answer whose fields are prepared.
pub fn respond(request: &Request, mut answer: Answer, framing: UploadFraming, back: Back) -> Response {
    let (status, headers) = (answer.head.status, std::mem::take(&mut answer.head.headers));
    // An app that overlooks a body takes it for the next request: one of a kind that is often overlooked ends its
    // connection, so that nobody can smuggle a request in it.
    let body_is_plain =
        matches!(framing, UploadFraming::Length(_)) && !request.method.is_safe() && request.method != Method::DELETE;
    let reuse = framing == UploadFraming::None || body_is_plain;
    let mut body = UpstreamBody::new(answer, Some(back.home), reuse, back.most_idle, back.inspect);
    let body = match body.take_whole() {
        Some(whole) => whole.into(),
        None => Body::stream(body),
    };
    let mut response = Response::new(status).with_body(body).with_kind(Kind::Proxied);
    response.headers = headers;
    response
}

/// Makes an answer's fields those of the response. `translating` says where the app believes to be, if the visitor is to
/// see another place.
pub fn prepare_fields(
    request: &Request,
    status: StatusCode,
    headers: &mut HeaderMap,
    translating: Option<&Origins>,
) -> Translated {
    strip_hop_by_hop(headers);
    if request.method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        // The engine frames the body.
        headers.remove(header::CONTENT_LENGTH);
    }
    translating.map_or_else(Translated::default, |origins| translate(headers, request, origins))
}

/// Hands the connection's bytes over, if the app switched to a protocol that the client had offered. `lease`
/// is taken for as long as the tunnel lasts.
pub fn switch(answer: Answer, offered: Option<&str>, lease: &mut Option<InFlight>) -> Result<Response, ProxyError> {
    let Answer { head, connection, upload } = answer;
    let mut headers: HeaderMap = head.headers;
    let chosen = headers.get(header::UPGRADE).cloned().ok_or(ProxyError::UnsolicitedUpgrade)?;
    let was_offered = |name: &str| {
        offered.is_some_and(|offered| offered.split(", ").any(|one| one.eq_ignore_ascii_case(name.trim())))
    };
    if !chosen.to_str().is_ok_and(was_offered) || !upload.is_sent() || !connection.is_flushed() {
        return Err(ProxyError::UnsolicitedUpgrade);
    }
    strip_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, chosen);
    let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS).with_kind(Kind::Proxied);
    response.headers = headers;
    // An empty buffer would hold its memory as long as the tunnel lasts.
    let connection = connection.into_inner();
    let early = if connection.read.is_empty() { Bytes::new() } else { connection.read.freeze() };
    let (upstream, lease) = (connection.io, lease.take());
    response.upgrade = Some(Box::new(move |client: BoxIo| {
        Box::pin(async move {
            tunnel(client, upstream, early).await;
            drop(lease);
        })
    }));
    Ok(response)
}
