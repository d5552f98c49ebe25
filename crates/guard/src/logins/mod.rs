//! The login guard: users with hashed passwords, by HTTP Basic (RFC 7617).

mod desk;
mod verify;
mod wrong;

use std::sync::Arc;
use std::time::Duration;

use doorstep_http::{BoxFuture, Request, Response, Service};
use doorstep_model::Logins;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use self::desk::{Answer, Desk};
use crate::basic::{self, Basic};
use crate::client::client_key;
use crate::page;

/// Lets in whoever is a user and knows the password, and keeps it from the service behind.
///
/// The app learns who it is by `X-Remote-User`; a client's own field of that name is dropped. A guard further in, on a
/// route of the site, asks for the same `Authorization` ([`doorstep_http::Vouched::authorization`]).
pub(crate) struct LoginGuard {
    desk: Arc<Desk>,
    challenge: HeaderValue,
    inner: Arc<dyn Service>,
}

const REMOTE_USER: HeaderName = HeaderName::from_static("x-remote-user");

impl LoginGuard {
    pub(crate) fn new(logins: &Logins, inner: Arc<dyn Service>) -> Self {
        Self { desk: Desk::of(&logins.users), challenge: challenge(&logins.realm), inner }
    }

    async fn answer(&self, mut request: Request) -> Response {
        let own = basic::parse(&request.headers);
        let is_own = own.is_some();
        let Some(login) = own.or_else(|| request.vouched.authorization.as_ref().and_then(basic::parse_value)) else {
            return self.refuse(&request);
        };
        match self.desk.check(client_key(&request), &login).await {
            Answer::Right => {}
            Answer::Wrong => return self.refuse(&request),
            Answer::Wait(left) => return too_many(&request, left),
            Answer::Busy => return busy(&request),
        }
        if is_own {
            request.vouched.authorization = request.headers.remove(header::AUTHORIZATION);
        }
        vouch(&mut request, &login);
        let mut response = self.inner.call(request).await;
        // Without this, a cache between us and the client could hand it to somebody who is not logged in.
        response.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
        response
    }

    fn refuse(&self, request: &Request) -> Response {
        let text = "Send a user name and password that may come in here (curl -u USER:PASSWORD).";
        page::answer(request, StatusCode::UNAUTHORIZED, "A password is needed", text)
            .with(header::WWW_AUTHENTICATE, self.challenge.clone())
    }
}

impl Service for LoginGuard {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

fn vouch(request: &mut Request, login: &Basic) {
    // A name that cannot stand in a header names nobody; the client's own field goes all the same.
    let name = HeaderValue::from_bytes(login.user.as_bytes()).unwrap_or(HeaderValue::from_static(""));
    request.vouched.set(REMOTE_USER, name);
    let vouched = &request.vouched;
    let forged: Vec<HeaderName> = request.headers.keys().filter(|name| vouched.shadows(name)).cloned().collect();
    for name in forged {
        request.headers.remove(name);
    }
}

/// `realm` as a quoted string (RFC 9110 section 5.6.4).
fn challenge(realm: &str) -> HeaderValue {
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static(basic::CHALLENGE))
}

fn too_many(request: &Request, left: Duration) -> Response {
    let seconds = left.as_millis().div_ceil(1000).max(1);
    let text = format!("Too many wrong passwords came from your address. Try again in {seconds} s.");
    page::answer(request, StatusCode::TOO_MANY_REQUESTS, "Wait a moment", &text)
        .with(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

fn busy(request: &Request) -> Response {
    let text = "Many people are logging in just now. Try again in a few seconds.";
    page::answer(request, StatusCode::SERVICE_UNAVAILABLE, "Wait a moment", text)
        .with(header::RETRY_AFTER, HeaderValue::from_static("3"))
}

#[cfg(test)]
mod tests;
