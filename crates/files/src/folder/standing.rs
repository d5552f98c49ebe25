//! An open folder and what is remembered of it.

use std::path::Path;
use std::sync::Arc;

use doorstep_http::coding::Accepted;
use doorstep_http::{Request, Response, pages};
use doorstep_model::{FileOptions, UploadPolicy};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::cache::Cache;
use super::find::{self, Found, Opened, Refusal};
use super::redirect;
use crate::listing::{self, ListingContext};
use crate::policy::Policy;
use crate::query::Query;
use crate::root::Root;
use crate::upload::{self, Uploads};
use crate::{FilesError, cors, zip};

/// The folder that stood at the path when it was opened.
pub(super) struct Standing {
    pub(super) root: Arc<Root>,
    pub(super) options: FileOptions,
    /// Of the folder, for people.
    name: String,
    pub(super) cache: Cache,
    uploads: Option<Uploads>,
}

impl Standing {
    pub(super) fn open(path: &Path, options: &FileOptions) -> Result<Self, FilesError> {
        let root = Root::open(path, Policy { hidden: options.hidden })?;
        let name = root.path().file_name().map_or("/".into(), |name| name.to_string_lossy().into_owned());
        let root = Arc::new(root);
        let uploads = Uploads::new(Arc::clone(&root), &name, &options.upload);
        Ok(Self { root, options: options.clone(), name, cache: Cache::default(), uploads })
    }

    /// Whether another folder stands at `path` now. While this one is open, no other can have its number.
    pub(super) fn has_moved(&self, path: &Path) -> bool {
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        match (rustix::fs::stat(path), self.root.stat(Path::new(""))) {
            (Ok(there), Ok(here)) => identity(there) != identity(here),
            _ => false,
        }
    }

    /// The answer from memory alone, if it can be had.
    pub(super) fn at_once(&self, request: &Request) -> Option<Response> {
        if !reads(&request.method) || self.uploads.as_ref().is_some_and(|uploads| uploads.wants(request)) {
            return None;
        }
        let file = self.cache.get(&request.path)?;
        if !file.is_current(&self.root) {
            self.cache.remove(&request.path);
            return None;
        }
        let wants_parts = request.headers.contains_key(header::RANGE);
        Some(file.ready(Accepted::of(&request.headers), wants_parts)?.answer(request))
    }

    async fn respond(&self, request: Request) -> Response {
        if let Some(asset) = listing::assets::respond(&request) {
            return asset;
        }
        if let Some(uploads) = self.uploads.as_ref().filter(|uploads| uploads.wants(&request)) {
            return uploads.handle(request).await;
        }
        let methods =
            if self.is_site() { "GET, HEAD, OPTIONS" } else { "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE" };
        let allowed = HeaderValue::from_static(methods);
        if request.method == Method::OPTIONS {
            return Response::new(StatusCode::NO_CONTENT).with(header::ALLOW, allowed);
        }
        if !reads(&request.method) {
            let detail = "Files here can be read, and nothing else.";
            return pages::problem(&request, StatusCode::METHOD_NOT_ALLOWED, detail).with(header::ALLOW, allowed);
        }
        match find::find(&self.root, &request.path, self.is_site()) {
            Ok(Found::File(opened)) => match self.file(&request, opened, &request.path).await {
                Ok(response) => response,
                Err(refusal) => self.refuse(&request, refusal).await,
            },
            Ok(Found::Folder(folder)) => self.folder(&request, &folder).await,
            Ok(Found::Redirect) => redirect::to_folder(&request),
            Err(refusal) => self.refuse(&request, refusal).await,
        }
    }

    /// Where visitors may add files, none of them becomes the page of a folder or of an error.
    fn is_site(&self) -> bool {
        self.uploads.is_none()
    }

    async fn folder(&self, request: &Request, folder: &str) -> Response {
        if self.options.no_listing {
            return self.refuse(request, Refusal::NotFound).await;
        }
        if Query::of(&request.target).has("zip") {
            return zip::respond(&self.root, folder, request, &self.name).await;
        }
        let upload = self.uploads.as_ref().map(|uploads| uploads.zone(request));
        let context = ListingContext { root_name: self.name.clone(), upload };
        listing::respond(&self.root, folder, request, &context).await
    }

    async fn refuse(&self, request: &Request, refusal: Refusal) -> Response {
        let (status, detail) = match &refusal {
            Refusal::NotFound => (StatusCode::NOT_FOUND, "There is nothing at this address.".to_owned()),
            Refusal::Forbidden => {
                (StatusCode::FORBIDDEN, "The computer that shares this file does not let doorstep read it.".to_owned())
            }
            Refusal::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This computer has too much to do at the moment. Try again in a few seconds.".to_owned(),
            ),
            Refusal::Failed(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("This computer could not read the file: {error}."))
            }
        };
        if status == StatusCode::NOT_FOUND && self.is_site() {
            if self.options.spa
                && is_navigation(request)
                && let Some(response) = self.stand_in(request, "index.html", StatusCode::OK).await
            {
                return response;
            }
            if let Some(response) = self.stand_in(request, "404.html", status).await {
                return response;
            }
        }
        let response = pages::problem(request, status, &detail);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return response.with(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    /// Answers with a file of the root in place of what is not there.
    async fn stand_in(&self, request: &Request, name: &str, status: StatusCode) -> Option<Response> {
        let opened = find::open(&self.root, name.to_owned()).ok()?;
        if status == StatusCode::OK {
            return self.file(request, opened, &format!("/{name}")).await.ok();
        }
        self.error_page(request, opened, status).await.ok()
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let asked = self.options.cors.then(|| cors::Asked::of(&request));
        let mut response = self.respond(request).await;
        if let Some(asked) = asked {
            cors::allow(&mut response, &asked);
        }
        response
    }
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Whether somebody goes to a page, as opposed to a page asking for its parts: those must fail when they are missing.
fn is_navigation(request: &Request) -> bool {
    if let Some(mode) = request.header("sec-fetch-mode") {
        return mode == "navigate";
    }
    let has_extension = request.path.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let takes_anything = request.header(header::ACCEPT).is_none_or(|accept| accept.contains("*/*"));
    request.wants_html() || (takes_anything && !has_extension)
}

/// The headers that all variants of a file have in common.
pub(super) fn headers_of(opened: &Opened, options: &FileOptions, mime: &crate::mime::MimeType) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, mime.value.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Kept by browsers, but asked about each time: what is shared may change at any moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if mime.compressible {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if options.cors {
        cors::allow_any(&mut headers);
    }
    if options.upload != UploadPolicy::Off {
        // It may be a visitor's. A page of a visitor must not act in the name of the share.
        let mut hardened = Response::new(StatusCode::OK);
        hardened.headers = headers;
        upload::harden(&mut hardened, opened.name());
        return hardened.headers;
    }
    headers
}
