//! The password guard: a login form for people, HTTP Basic for programs.

mod credentials;
mod form;
mod login_page;
mod session;

use std::sync::Arc;
use std::time::Duration;

use doorstep_http::{BodyError, BoxFuture, Request, Response, Service};
use doorstep_model::Password;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use tokio::time::Instant;

use self::credentials::Credentials;
use self::form::LoginForm;
use self::login_page::{LOGIN_PATH, LOGOUT_PATH, Notice};
use self::session::Sessions;
use crate::basic;
use crate::client::client_key;
use crate::limits::MAX_LOGIN_FORM;
use crate::page;
use crate::throttle::{Throttle, Verdict};

/// Lets in whoever knows the password, and keeps what proved it from the service behind.
///
/// - A browser gets a login form at the address it asked for, and after it a session cookie ([`Sessions`]).
/// - A program may send HTTP Basic with each request (RFC 7617). Only programs are told so by `WWW-Authenticate`:
///   a browser would cover the form with a dialog of its own.
/// - Wrong passwords make their address wait ([`Throttle`]). A session is checked before that, so people who are
///   logged in do not notice when somebody behind the same router is guessing.
pub(crate) struct PasswordGuard {
    credentials: Credentials,
    sessions: Sessions,
    throttle: Throttle,
    inner: Arc<dyn Service>,
}

impl PasswordGuard {
    pub(crate) fn new(password: &Password, inner: Arc<dyn Service>) -> Self {
        Self {
            credentials: Credentials::new(password),
            sessions: Sessions::new(),
            throttle: Throttle::default(),
            inner,
        }
    }

    async fn answer(&self, mut request: Request) -> Response {
        match request.path.as_str() {
            LOGIN_PATH if request.method == Method::POST => return self.log_in(request).await,
            LOGIN_PATH if is_read(&request.method) => return self.form(&request, Notice::None),
            LOGOUT_PATH => return self.log_out(&request),
            _ => {}
        }
        let session = self.sessions.is_open(&request);
        self.sessions.strip(&mut request.headers);
        let basic = basic::parse(&request.headers);
        let allowed = match &basic {
            _ if session => true,
            Some(basic) => match self.check(&request, &basic.user, &basic.password) {
                Verdict::Right => true,
                Verdict::Wrong => false,
                Verdict::Wait(left) => return self.too_many(&request, left),
            },
            None => false,
        };
        if !allowed {
            return self.refuse(&request);
        }
        // Credentials that are ours stop here; others are for the app behind.
        if basic.is_some_and(|basic| self.credentials.matches(&basic.user, &basic.password)) {
            request.headers.remove(header::AUTHORIZATION);
        }
        let mut response = self.inner.call(request).await;
        // Without this, a cache between us and the visitor could hand it to somebody who is not logged in.
        response.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
        response
    }

    async fn log_in(&self, mut request: Request) -> Response {
        if !from_own_page(&request) {
            let text = "This login was sent by a page of another site. Open the link you were given, and log in there.";
            return page::answer(&request, StatusCode::FORBIDDEN, "Not logged in", text);
        }
        let body = std::mem::replace(&mut request.body, doorstep_http::Body::Empty);
        let bytes = match body.collect(MAX_LOGIN_FORM).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge(_)) => {
                let text = "A login form is never this long.";
                return page::answer(&request, StatusCode::PAYLOAD_TOO_LARGE, "Too long", text);
            }
            Err(error) => {
                let text = format!("The form did not arrive whole: {error}.");
                return page::answer(&request, StatusCode::BAD_REQUEST, "Not logged in", &text);
            }
        };
        let Some(form) = LoginForm::parse(&bytes) else {
            let text = "This is not the login form's answer. Open the page again and log in there.";
            return page::answer(&request, StatusCode::BAD_REQUEST, "Not logged in", text);
        };
        let notice = match self.check(&request, &form.user, &form.password) {
            Verdict::Right => {
                return see_other(&form.return_to).with(header::SET_COOKIE, self.sessions.open(&request));
            }
            Verdict::Wrong => Notice::Wrong,
            Verdict::Wait(left) => Notice::Wait(left),
        };
        login_page::page(&request, self.credentials.asks_user(), &form.user, &form.return_to, notice)
    }

    fn log_out(&self, request: &Request) -> Response {
        if request.method == Method::POST && from_own_page(request) {
            return see_other("/").with(header::SET_COOKIE, self.sessions.close(request));
        }
        if is_read(&request.method) && self.sessions.is_open(request) {
            return login_page::logout_page();
        }
        see_other("/")
    }

    fn check(&self, request: &Request, user: &str, password: &str) -> Verdict {
        self.throttle.attempt(client_key(request), Instant::now(), || self.credentials.matches(user, password))
    }

    fn refuse(&self, request: &Request) -> Response {
        if request.wants_html() && !request.upgradable {
            return self.form(request, Notice::None);
        }
        let text =
            "Log in with a browser, or send the user name and password with the request (curl -u USER:PASSWORD).";
        let response = page::answer(request, StatusCode::UNAUTHORIZED, "A password is needed", text);
        let challenge = if is_browser(request) { login_page::CHALLENGE } else { basic::CHALLENGE };
        response.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    fn form(&self, request: &Request, notice: Notice) -> Response {
        let target = request.target.path_and_query().map_or("/", |target| target.as_str());
        let return_to = if is_read(&request.method) { form::same_origin_path(target) } else { "/" };
        login_page::page(request, self.credentials.asks_user(), "", return_to, notice)
    }

    fn too_many(&self, request: &Request, left: Duration) -> Response {
        if request.wants_html() {
            return self.form(request, Notice::Wait(left));
        }
        let seconds = login_page::seconds(left);
        let text = format!("Too many wrong passwords came from your address. Try again in {seconds} s.");
        page::answer(request, StatusCode::TOO_MANY_REQUESTS, "Wait a moment", &text)
            .with(header::RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl Service for PasswordGuard {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(self.answer(request))
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// `return_to` has been through [`form::same_origin_path`].
fn see_other(return_to: &str) -> Response {
    let location = HeaderValue::from_str(return_to).unwrap_or(HeaderValue::from_static("/"));
    Response::new(StatusCode::SEE_OTHER)
        .with(header::LOCATION, location)
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Whether a form was sent by a page of ours, as far as the browser says. Programs say nothing and are believed:
/// only a browser carries somebody else's cookies.
fn from_own_page(request: &Request) -> bool {
    if let Some(site) = request.header("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match request.headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("")) {
        None => true,
        // The scheme is left out of the comparison: behind a tunnel the visitor's may be https and ours http.
        Some(origin) => origin.split_once("://").is_some_and(|(scheme, host)| {
            strip_default_port(host, scheme) == strip_default_port(&request.authority, scheme)
        }),
    }
}

fn strip_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// Whether a person's browser made the request, be it for an image or by a script.
fn is_browser(request: &Request) -> bool {
    request.wants_html()
        || request.headers.contains_key("sec-fetch-mode")
        || request.header(header::USER_AGENT).is_some_and(|agent| agent.starts_with("Mozilla/"))
}

#[cfg(test)]
mod tests;
