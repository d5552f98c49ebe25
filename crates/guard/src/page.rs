use doorstep_http::pages::{document, escape};
use doorstep_http::{Request, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

/// Answers that the guard itself gives: a page to a browser, a line to a program; never cached, never framed.
pub(crate) fn answer(request: &Request, status: StatusCode, title: &str, text: &str) -> Response {
    if request.wants_html() {
        html(status, title, "", &format!("<h1>{}</h1><p>{}</p>", escape(title), escape(text)))
    } else {
        seal(Response::text(status, format!("{title}. {text}\n")))
    }
}

/// A page made of HTML.
pub(crate) fn html(status: StatusCode, title: &str, head: &str, body: &str) -> Response {
    seal(Response::html(status, document(title, head, body)))
}

fn seal(response: Response) -> Response {
    // No form-action: browsers apply it to the redirects after a login too, and an app may send its visitors elsewhere.
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    response
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
        .with(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
        .with(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"))
}
