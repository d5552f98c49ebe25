//! Sending a file: small ones from memory, large ones from the disk.

use std::sync::Arc;

use doorstep_http::{Kind, Request, Response};
use http::{StatusCode, header};

use super::find::{self, Opened, Refusal};
use super::small::{self, Small};
use super::standing::{Standing, headers_of};
use crate::limits::{MAX_COMPRESSED, MAX_SMALL_FILE};
use crate::mime;
use crate::variant::{Source, Variant};
use doorstep_http::coding::{Accepted, Coding};

impl Standing {
    /// Answers with an open file, which is kept under `path` if it is small.
    pub(super) async fn file(&self, request: &Request, mut opened: Opened, path: &str) -> Result<Response, Refusal> {
        let mime = mime::of(opened.name());
        let headers = headers_of(&opened, &self.options, &mime);
        let accepted = Accepted::of(&request.headers);
        let wants_parts = request.headers.contains_key(header::RANGE);
        if opened.stamp.len <= MAX_SMALL_FILE {
            match Small::read(&self.root, opened, &headers, mime.compressible).await? {
                Ok(file) => {
                    let file = Arc::new(file);
                    small::keep(&self.cache, path, &file);
                    return Ok(file.prepared(&self.root, accepted, wants_parts).await.answer(request));
                }
                Err(restless) => opened = restless,
            }
        }
        let accepted = if mime.compressible { accepted } else { Accepted::default() };
        for coding in accepted.in_order(Coding::BY_SIZE) {
            let beside = format!("{}{}", opened.relative, coding.extension());
            if let Ok(sibling) = find::open(&self.root, beside)
                && sibling.stamp.is_newer_or_equal(&opened.stamp)
            {
                let source = Source::File { len: sibling.stamp.len, file: sibling.file };
                return Ok(Variant::stored(&headers, source, &sibling.stamp, Some(coding)).answer(request));
            }
        }
        let source = Source::File { len: opened.stamp.len, file: opened.file };
        let compress = !wants_parts && opened.stamp.len <= MAX_COMPRESSED;
        let variant = match accepted.in_order(Coding::BY_WORK).next().filter(|_| compress) {
            Some(coding) => Variant::on_the_way(&headers, source, &opened.stamp, coding),
            None => Variant::stored(&headers, source, &opened.stamp, None),
        };
        Ok(variant.answer(request))
    }

    /// The owner's own page for an error: never conditional, never in parts.
    pub(super) async fn error_page(
        &self,
        request: &Request,
        opened: Opened,
        status: StatusCode,
    ) -> Result<Response, Refusal> {
        let mime = mime::of(opened.name());
        let headers = headers_of(&opened, &self.options, &mime);
        let source = Source::File { len: opened.stamp.len, file: opened.file };
        let mut response = Variant::stored(&headers, source, &opened.stamp, None).whole(request, status);
        response.kind = Kind::Page;
        for name in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
            response.headers.remove(name);
        }
        Ok(response)
    }
}
