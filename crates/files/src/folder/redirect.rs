//! `/folder` is sent on to `/folder/`.

use doorstep_http::{Request, Response, pages};
use http::StatusCode;
use http::header::{self, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a path. A backslash does not: browsers take it for a slash, and `/\host` for another host.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');

/// Built from the canonical path, which begins with exactly one slash, so that it cannot lead to another host.
pub fn to_folder(request: &Request) -> Response {
    let mut to = format!("{}/", utf8_percent_encode(&request.path, KEPT));
    if let Some(query) = request.target.query() {
        to.push('?');
        to.push_str(query);
    }
    let Ok(to) = HeaderValue::try_from(to) else {
        return pages::problem(request, StatusCode::NOT_FOUND, "There is nothing at this address.");
    };
    // Temporary: the folder may be a file tomorrow.
    pages::problem(request, StatusCode::TEMPORARY_REDIRECT, "This is a folder; its address ends with a slash.")
        .with(header::LOCATION, to)
}
