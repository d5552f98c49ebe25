//! The listing's style and scripts: compiled in, under names that change with their content, so that browsers keep them.

use std::sync::LazyLock;

use bytes::Bytes;
use doorstep_http::{Request, Response, pages};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

/// Where doorstep's own files live. Nothing that is shared can have this path unless dotfiles are shown, and then it loses.
pub const PREFIX: &str = "/.doorstep/";

/// A style sheet or a script.
pub struct Asset {
    name: String,
    content_type: &'static str,
    content: Bytes,
}

pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let parts = [
        pages::STYLE,
        include_str!("assets/listing.css"),
        include_str!("assets/icons.css"),
        include_str!("assets/upload.css"),
    ];
    Asset::new("listing", "css", "text/css; charset=utf-8", parts.concat())
});

pub static LISTING_SCRIPT: LazyLock<Asset> = LazyLock::new(|| script("listing", include_str!("assets/listing.js")));

pub static UPLOAD_SCRIPT: LazyLock<Asset> = LazyLock::new(|| script("upload", include_str!("assets/upload.js")));

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: String) -> Self {
        let name = format!("{name}-{:016x}.{extension}", fnv1a(content.as_bytes()));
        Self { name, content_type, content: content.into() }
    }

    /// The path under which a page asks for it.
    pub fn path(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

fn script(name: &str, content: &str) -> Asset {
    Asset::new(name, "js", "text/javascript; charset=utf-8", content.to_owned())
}

/// Answers a request for one of them; `None` where the path names none.
pub fn respond(request: &Request) -> Option<Response> {
    let name = request.path.strip_prefix(PREFIX)?;
    let asset = [&STYLE, &LISTING_SCRIPT, &UPLOAD_SCRIPT].into_iter().find(|asset| asset.name == name)?;
    if request.method != Method::GET && request.method != Method::HEAD {
        return Some(
            pages::problem(request, StatusCode::METHOD_NOT_ALLOWED, "This can only be read.")
                .with(header::ALLOW, HeaderValue::from_static("GET, HEAD")),
        );
    }
    Some(
        Response::new(StatusCode::OK)
            .with(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type))
            .with(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"))
            .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
            .with_body(asset.content.clone()),
    )
}

/// FNV-1a: enough to tell versions of a file apart.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asset_answers_at_its_path_for_ever() {
        for asset in [&*STYLE, &*LISTING_SCRIPT, &*UPLOAD_SCRIPT] {
            let response = respond(&Request::get(&asset.path())).unwrap();
            assert_eq!(response.status, StatusCode::OK);
            assert!(response.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
            assert_eq!(response.body.len(), Some(asset.content.len() as u64));
        }
        assert!(respond(&Request::get("/.doorstep/listing-0.css")).is_none());
        assert!(respond(&Request::get("/listing.css")).is_none());
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in [&*STYLE, &*LISTING_SCRIPT, &*UPLOAD_SCRIPT] {
            let text = std::str::from_utf8(&asset.content).unwrap().replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://") && !text.contains("@import"), "{}", asset.name);
        }
    }
}
