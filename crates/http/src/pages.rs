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
