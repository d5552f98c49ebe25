use std::time::Duration;

use doorstep_http::pages::escape;
use doorstep_http::{Request, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};

use crate::page;

/// Where the form is sent to.
pub(super) const LOGIN_PATH: &str = "/.doorstep/login";
/// Where somebody logs out.
pub(super) const LOGOUT_PATH: &str = "/.doorstep/logout";
/// A 401 must name a scheme (RFC 9110 section 11.6.1). Browsers do not know this one, so they show the page.
pub(super) const CHALLENGE: &str = "Cookie realm=\"doorstep\", form-action=\"/.doorstep/login\"";

/// What the form says above its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    None,
    Wrong,
    Wait(Duration),
}

/// The login form. `return_to` is a path of this site.
pub(super) fn page(request: &Request, asks_user: bool, user: &str, return_to: &str, notice: Notice) -> Response {
    let (status, notice_html) = match notice {
        Notice::None => (StatusCode::UNAUTHORIZED, String::new()),
        Notice::Wrong => {
            let what = if asks_user { "That name and password do not match." } else { "That is not the password." };
            (StatusCode::UNAUTHORIZED, format!("<p class=bad role=alert>{what} Try again.</p>"))
        }
        Notice::Wait(left) => {
            let seconds = seconds(left);
            let text = format!(
                "<p class=bad role=alert>Too many wrong passwords came from your network. Wait {seconds} s, then try again.</p>"
            );
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
    };
    let user_focus = if user.is_empty() { " autofocus" } else { "" };
    let password_focus = if asks_user && user.is_empty() { "" } else { " autofocus" };
    let user_field = if asks_user {
        format!(
            "<label>Name<input name=user autocomplete=username autocapitalize=none spellcheck=false required{user_focus} value=\"{}\"></label>",
            escape(user)
        )
    } else {
        String::new()
    };
    let body = format!(
        "<main><form method=post action=\"{LOGIN_PATH}\"><div class=lock aria-hidden=true>{LOCK}</div>\
         <h1>A password is needed</h1><p class=dim>Whoever shared <b>{host}</b> with you knows it.</p>{notice_html}{user_field}\
         <label>Password<input type=password name=password autocomplete=current-password required{password_focus}></label>\
         <input type=hidden name=next value=\"{next}\"><button>Log in</button></form></main>",
        host = escape(&request.authority),
        next = escape(return_to),
    );
    let response = page::html(status, "A password is needed", STYLE, &body);
    match notice {
        Notice::Wait(left) => response.with(header::RETRY_AFTER, HeaderValue::from(seconds(left))),
        _ => response.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)),
    }
}

/// Asks whether to log out: a link alone must not do it, since any site may show one.
pub(super) fn logout_page() -> Response {
    let body = format!(
        "<main><form method=post action=\"{LOGOUT_PATH}\"><h1>Log out?</h1>\
         <p class=dim>This browser will need the password again.</p><button autofocus>Log out</button><a href=\"/\">Stay</a></form></main>"
    );
    page::html(StatusCode::OK, "Log out", STYLE, &body)
}

/// Whole seconds, at least one.
pub(super) fn seconds(left: Duration) -> u64 {
    left.as_millis().div_ceil(1000).max(1) as u64
}

const LOCK: &str = "<svg viewBox=\"0 0 24 24\" width=28 height=28 fill=none stroke=currentColor stroke-width=2 \
    stroke-linecap=round><rect x=4 y=11 width=16 height=10 rx=2 /><path d=\"M8 11V7a4 4 0 0 1 8 0v4\"/></svg>";

const STYLE: &str = concat!("<style>", include_str!("login.css"), "</style>");
