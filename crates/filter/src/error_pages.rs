//! Pages of the site's own in place of errors.

use bytes::Bytes;
use doorstep_http::{Body, Response};
use doorstep_model::ErrorPage;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

pub(crate) struct ErrorPages(Vec<(Vec<u16>, Bytes)>);

/// What described the body that is replaced.
const OF_THE_BODY: [HeaderName; 9] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
];

impl ErrorPages {
    pub(crate) fn new(pages: &[ErrorPage]) -> Self {
        Self(pages.iter().map(|page| (page.statuses.clone(), Bytes::from(page.html.clone()))).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the body of an error; its status and whatever else it says stay.
    pub(crate) fn apply(&self, response: &mut Response) {
        let Some((_, html)) = self.0.iter().find(|(statuses, _)| covers(statuses, response.status)) else { return };
        OF_THE_BODY.iter().for_each(|name| drop(response.headers.remove(name)));
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response.body = Body::Full(html.clone());
    }
}

/// Only errors have pages. A whole class leaves 401 out: its body may be the form to log in with.
fn covers(statuses: &[u16], status: StatusCode) -> bool {
    let code = status.as_u16();
    (400..600).contains(&code)
        && (statuses.contains(&code) || (status != StatusCode::UNAUTHORIZED && statuses.contains(&(code / 100))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_statuses() {
        for (statuses, status, expected) in [
            (&[404][..], 404, true),
            (&[404], 403, false),
            (&[5], 502, true),
            (&[4], 502, false),
            (&[4], 401, false),
            (&[401], 401, true),
            (&[2, 200, 3, 304, 1, 101], 200, false),
            (&[2, 200, 3, 304, 1, 101], 304, false),
            (&[2, 200, 3, 304, 1, 101], 101, false),
        ] {
            assert_eq!(covers(statuses, StatusCode::from_u16(status).unwrap()), expected, "{statuses:?} {status}");
        }
    }
}
