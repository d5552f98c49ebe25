//! Pages that doorstep itself answers with: small, self-contained, light and dark, without scripts unless they need one.

use std::fmt::Write;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::{Request, Response};

/// Answers with an explanation: an HTML page to a browser, one line of text to a program.
pub fn problem(request: &Request, status: StatusCode, detail: &str) -> Response {
    let mut response = if request.wants_html() {
        let title = status.canonical_reason().unwrap_or("Problem");
        let body = format!("<h1>{}</h1><p>{}</p>", escape(title), escape(detail));
        Response::html(status, document(title, "", &body))
    } else {
        Response::text(status, format!("{} {detail}\n", status.as_str()))
    };
    response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if request.method == Method::HEAD {
        response.body = crate::Body::Empty;
    }
    response
}

/// Sends the client to `location`, which is visible ASCII, with a link for those who do not follow by themselves.
pub(crate) fn elsewhere(request: &Request, status: StatusCode, location: &str) -> Response {
    let mut response = if request.wants_html() {
        let title = status.canonical_reason().unwrap_or("Elsewhere");
        let link = escape(location);
        let body = format!("<h1>{}</h1><p>Go to <a href=\"{link}\">{link}</a></p>", escape(title));
        Response::html(status, document(title, "", &body))
    } else {
        Response::text(status, format!("{} {location}\n", status.as_str()))
    };
    match HeaderValue::from_str(location) {
        Ok(location) => response.headers.insert(header::LOCATION, location),
        Err(_) => return problem(request, StatusCode::BAD_REQUEST, "This address leads nowhere."),
    };
    if request.method == Method::HEAD {
        response.body = crate::Body::Empty;
    }
    response
}

/// The answer where no route leads anywhere.
pub(crate) fn nothing_here(request: &Request) -> Response {
    problem(request, StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// A whole HTML document in the common style. `head` and `body` are HTML; `title` is text.
pub fn document(title: &str, head: &str, body: &str) -> String {
    let mut page = String::with_capacity(STYLE.len() + head.len() + body.len() + 256);
    let _ = writeln!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><title>{}</title><style>{STYLE}</style>{head}<body>{body}</body></html>",
        escape(title)
    );
    page
}

/// Text made safe inside HTML elements and quoted attributes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The common style: colour variables that follow the visitor's light or dark preference.
pub const STYLE: &str = include_str!("pages.css");
