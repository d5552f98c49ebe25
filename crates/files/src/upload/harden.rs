//! What visitors uploaded must not act in the name of the share: a page among it could read and send everything else.

use doorstep_http::Response;
use http::header::{self, HeaderValue};

use crate::disposition;

/// To be applied to every file of a share that takes uploads. Types that can run scripts are downloaded instead of
/// shown, and would run in a sandbox without an origin if they were; no type is guessed from content.
pub fn harden(response: &mut Response, file_name: &str) {
    response.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let content_type = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_none_or(is_active) {
        response
            .headers
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
        response.headers.insert(header::CONTENT_DISPOSITION, disposition::attachment(file_name));
    }
}

/// Whether browsers may run scripts in a document of this type.
fn is_active(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "text/html"
                | "text/xml"
                | "application/xml"
                | "text/xsl"
                | "multipart/related"
                | "message/rfc822"
                | "application/x-mimearchive"
                | "text/cache-manifest"
                | "application/x-shockwave-flash"
        )
        || !essence.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn hardened(content_type: &'static str) -> Response {
        let mut response =
            Response::new(StatusCode::OK).with(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        harden(&mut response, "name.x");
        response
    }

    #[test]
    fn what_can_run_scripts_is_downloaded() {
        for active in ["text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "Text/XML", "nonsense"] {
            let response = hardened(active);
            assert!(
                response.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("sandbox"),
                "{active}"
            );
            assert_eq!(response.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"name.x\"");
        }
        for passive in ["image/png", "application/pdf", "video/mp4", "text/plain; charset=utf-8"] {
            let response = hardened(passive);
            assert_eq!(response.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert!(!response.headers.contains_key(header::CONTENT_DISPOSITION), "{passive}");
        }
    }
}
