//! Uploads in several goes, as the page's script does them: POST begins, PATCH goes on, HEAD asks, DELETE gives up.

use std::path::PathBuf;
use std::sync::Arc;

use doorstep_http::{Request, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::claims::{Claim, Finished};
use super::name;
use super::partial::{self, Partial, open_folder};
use super::refusal::Refusal;
use super::writer::Writer;
use super::{Uploads, blocking, fresh, next_bytes, space};
use crate::listing::text;
use crate::query::Query;
use crate::random;

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An upload as its address describes it.
struct Described {
    id: String,
    /// Where the address points.
    base: PathBuf,
    /// Folders below `base` that it goes into.
    inner: Vec<String>,
    name: String,
    size: u64,
}

impl Uploads {
    /// Answers with the address of a new upload. Nothing is written yet.
    pub(super) async fn begin(&self, request: &Request, query: &Query) -> Result<Response, Refusal> {
        let id = random::token().map_err(Refusal::Disk)?;
        let upload = self.describe(request, query, id)?;
        self.check_size(upload.size)?;
        let (root, base, size) = (Arc::clone(&self.root), upload.base.clone(), upload.size);
        blocking(move || {
            let folder = root.open_folder(&base)?;
            if space::left(folder)? < size { Err(Refusal::NoSpace) } else { Ok(()) }
        })
        .await?;
        let location = upload.address(request);
        let mut body = String::from("{\"upload\":");
        text::push_json(&location, &mut body);
        body.push_str(",\"offset\":0}\n");
        let location = HeaderValue::try_from(location).map_err(|_| Refusal::Bad("The address is malformed."))?;
        Ok(fresh(Response::new(StatusCode::CREATED))
            .with(header::LOCATION, location)
            .with(OFFSET, HeaderValue::from_static("0"))
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with_body(body))
    }

    /// Appends the request's body at `Upload-Offset`.
    pub(super) async fn go_on(&self, request: &mut Request, query: &Query) -> Result<Response, Refusal> {
        let upload = self.identified(request, query)?;
        self.check_size(upload.size)?;
        let offset = request
            .header(OFFSET)
            .and_then(|offset| offset.parse::<u64>().ok())
            .ok_or(Refusal::Bad("Upload-Offset says where the bytes belong, and is missing."))?;
        if let Some(finished) = self.claims.finished(&upload.id) {
            return Ok(self.complete(finished.size, finished.name));
        }
        let claim = self.claims.claim(&upload.id).await?;
        let _turn = self.turn()?;
        let partial = self.open(&upload, offset).await?;
        match self.receive(request, &partial, &claim, offset, upload.size).await {
            Ok(reached) if reached == upload.size => {
                let partial_of = Arc::clone(&partial);
                let (name, held) = (upload.name.clone(), Arc::clone(&claim));
                let saved = blocking(move || {
                    let saved = partial_of.publish(&name);
                    drop(held);
                    saved
                })
                .await;
                let name = discard_if_final(saved, partial).await?;
                self.claims.remember(Finished { id: upload.id, size: upload.size, name: name.clone() });
                Ok(self.complete(upload.size, name))
            }
            Ok(reached) => Ok(fresh(Response::new(StatusCode::NO_CONTENT))
                .with(OFFSET, HeaderValue::from(reached))
                .with(COMPLETE, HeaderValue::from_static("?0"))),
            Err(refusal) => discard_if_final(Err(refusal), partial).await,
        }
    }

    /// Says how far an upload came.
    pub(super) async fn progress(&self, request: &Request, query: &Query) -> Result<Response, Refusal> {
        let upload = self.identified(request, query)?;
        if let Some(finished) = self.claims.finished(&upload.id) {
            return Ok(self.complete(finished.size, finished.name));
        }
        // Whoever asks has lost the connection that wrote.
        let claim = self.claims.claim(&upload.id).await?;
        if let Some(finished) = self.claims.finished(&upload.id) {
            return Ok(self.complete(finished.size, finished.name));
        }
        let (root, count, size) = (Arc::clone(&self.root), Arc::clone(&self.partials), upload.size);
        let length = blocking(move || {
            let _claim = claim;
            let Some(folder) = open_folder(&root, &upload.base, &upload.inner, false)? else { return Ok(None) };
            Ok(Partial::open(Arc::new(folder), &upload.id, &count)?.map(|(_, length)| length))
        })
        .await?;
        let length = length.ok_or(Refusal::Unknown)?;
        Ok(fresh(Response::new(StatusCode::OK))
            .with(OFFSET, HeaderValue::from(length))
            .with(LENGTH, HeaderValue::from(size))
            .with(COMPLETE, HeaderValue::from_static("?0")))
    }

    /// Removes what came of an upload.
    pub(super) async fn cancel(&self, request: &Request, query: &Query) -> Result<Response, Refusal> {
        let upload = self.identified(request, query)?;
        let claim = self.claims.claim(&upload.id).await?;
        let (root, count) = (Arc::clone(&self.root), Arc::clone(&self.partials));
        blocking(move || {
            let _claim = claim;
            if let Some(folder) = open_folder(&root, &upload.base, &upload.inner, false)?
                && let Some((partial, _)) = Partial::open(Arc::new(folder), &upload.id, &count)?
            {
                partial.remove();
            }
            Ok(())
        })
        .await?;
        Ok(fresh(Response::new(StatusCode::NO_CONTENT)))
    }

    fn identified(&self, request: &Request, query: &Query) -> Result<Described, Refusal> {
        let id = query.get("upload").filter(|id| partial::is_id(id)).ok_or(Refusal::Unknown)?;
        self.describe(request, query, id.to_owned())
    }

    fn describe(&self, request: &Request, query: &Query, id: String) -> Result<Described, Refusal> {
        let policy = self.root.policy();
        let size = query.get("size").and_then(|size| size.parse().ok());
        Ok(Described {
            id,
            base: self.folder_of(request)?,
            inner: name::folders(query.get("folder").unwrap_or_default(), policy)?,
            name: name::sanitise(query.get("name").unwrap_or_default(), policy)?,
            size: size.ok_or(Refusal::Bad("The file's size is missing."))?,
        })
    }

    /// Opens or begins an upload's file, and makes sure that it goes on where the client thinks.
    async fn open(&self, upload: &Described, offset: u64) -> Result<Arc<Partial>, Refusal> {
        let (root, count) = (Arc::clone(&self.root), Arc::clone(&self.partials));
        let (base, inner, id, size) = (upload.base.clone(), upload.inner.clone(), upload.id.clone(), upload.size);
        blocking(move || {
            let folder = open_folder(&root, &base, &inner, true)?.ok_or(Refusal::NoFolder)?;
            let folder = Arc::new(folder);
            let found = Partial::open(Arc::clone(&folder), &id, &count)?;
            let (partial, length) = match found {
                Some(found) => found,
                None if offset == 0 => {
                    if space::left(&*folder)? < size {
                        return Err(Refusal::NoSpace);
                    }
                    (Partial::create(folder, &id, &count)?, 0)
                }
                None => return Err(Refusal::Unknown),
            };
            if length == offset { Ok(Arc::new(partial)) } else { Err(Refusal::OutOfStep(length)) }
        })
        .await
    }

    /// Writes the body. Says where that got to; a connection that breaks leaves what came for the next go.
    async fn receive(
        &self,
        request: &mut Request,
        partial: &Partial,
        claim: &Arc<Claim>,
        offset: u64,
        size: u64,
    ) -> Result<u64, Refusal> {
        let mut writer = Writer::new(Arc::clone(&partial.file), offset, Some(Arc::clone(claim)));
        let ended = loop {
            let bytes = tokio::select! {
                biased;
                () = claim.taken_over() => break Err(Refusal::TakenOver),
                bytes = next_bytes(&mut request.body) => bytes,
            };
            match bytes {
                None => break Ok(()),
                Some(Err(error)) => break Err(Refusal::Body(error)),
                Some(Ok(bytes)) if writer.offset() + bytes.len() as u64 > size => {
                    break Err(Refusal::Bad("More bytes came than the file has."));
                }
                Some(Ok(bytes)) => writer.push(bytes).await?,
            }
        };
        writer.flush().await?;
        ended.map(|()| writer.offset())
    }

    fn complete(&self, size: u64, name: String) -> Response {
        let mut body = String::from("{\"complete\":true");
        if !self.only {
            body.push_str(",\"name\":");
            text::push_json(&name, &mut body);
        }
        body.push_str("}\n");
        fresh(Response::new(StatusCode::OK))
            .with(OFFSET, HeaderValue::from(size))
            .with(LENGTH, HeaderValue::from(size))
            .with(COMPLETE, HeaderValue::from_static("?1"))
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with_body(body)
    }
}

impl Described {
    /// Where PATCH, HEAD and DELETE go; it says everything that is known of the upload.
    fn address(&self, request: &Request) -> String {
        let mut address = format!(
            "{}?upload={}&name={}&size={}",
            request.target.path(),
            self.id,
            utf8_percent_encode(&self.name, VALUE),
            self.size
        );
        if !self.inner.is_empty() {
            address.push_str(&format!("&folder={}", utf8_percent_encode(&self.inner.join("/"), VALUE)));
        }
        address
    }
}

/// Removes the file after what makes it useless, so that a full disk is not left full.
async fn discard_if_final<T>(result: Result<T, Refusal>, partial: Arc<Partial>) -> Result<T, Refusal> {
    if result.as_ref().is_err_and(Refusal::is_final) {
        blocking(move || {
            partial.remove();
            Ok(())
        })
        .await?;
    }
    result
}
