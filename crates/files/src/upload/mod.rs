//! Files that visitors send. The protocol is described in `docs/protocol/upload.md`.
//!
//! Bytes go to a hidden file in the folder where they will stay; complete and synced, it gets its name, and never
//! replaces another. An unfinished upload is described whole by its address and its file, so it survives a restart.

mod claims;
mod form;
mod harden;
pub mod multipart;
mod name;
mod origin;
mod page;
mod partial;
mod refusal;
mod resumable;
mod space;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use doorstep_http::{Body, BodyError, Request, Response, pages};
use doorstep_model::UploadPolicy;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::harden::harden;
pub use self::page::zone;

use self::claims::Claims;
use self::partial::PartialCount;
use self::refusal::{Asked, Refusal};
use crate::limits::{MAX_UPLOADS, PARTIAL_LIFETIME, SWEEP_INTERVAL};
use crate::listing::human;
use crate::query::Query;
use crate::random;
use crate::root::Root;

/// Takes uploads for one share.
pub struct Uploads {
    root: Arc<Root>,
    root_name: String,
    max_bytes: Option<u64>,
    only: bool,
    claims: Arc<Claims>,
    partials: Arc<PartialCount>,
    turns: Semaphore,
    swept: Mutex<Option<Instant>>,
}

impl Uploads {
    /// `None` where the policy takes no uploads. `root_name` is the shared folder's, for words on screens.
    pub fn new(root: Arc<Root>, root_name: &str, policy: &UploadPolicy) -> Option<Self> {
        let (max_bytes, only) = match policy {
            UploadPolicy::Off => return None,
            UploadPolicy::Allowed { max_bytes } => (*max_bytes, false),
            UploadPolicy::Only { max_bytes } => (*max_bytes, true),
        };
        let uploads = Self {
            root,
            root_name: root_name.to_owned(),
            max_bytes,
            only,
            claims: Arc::default(),
            partials: Arc::default(),
            turns: Semaphore::new(MAX_UPLOADS),
            swept: Mutex::new(None),
        };
        uploads.sweep_if_due();
        Some(uploads)
    }

    /// Whether visitors may send files and see nothing: then every request of the share belongs to [`Self::handle`].
    pub fn only(&self) -> bool {
        self.only
    }

    /// HTML of the upload zone above a listing.
    pub fn zone(&self, request: &Request) -> String {
        page::zone(request, self.max_bytes, false)
    }

    /// Whether a request is for [`Self::handle`]: it sends something, or asks how far an upload came.
    pub fn wants(&self, request: &Request) -> bool {
        self.only
            || matches!(request.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
            || (request.method == Method::HEAD && is_upload_address(request))
    }

    /// Answers a request that [`Self::wants`] is true for.
    pub async fn handle(&self, mut request: Request) -> Response {
        let asked = Asked::of(&request);
        if self.only && matches!(request.method, Method::GET | Method::HEAD) && !is_upload_address(&request) {
            return self.page(&request);
        }
        let handled = match self.admit(&request) {
            Ok(()) => self.dispatch(&mut request, &asked).await,
            Err(refusal) => Err(refusal),
        };
        handled.unwrap_or_else(|refusal| refusal.respond(&asked))
    }

    async fn dispatch(&self, request: &mut Request, asked: &Asked) -> Result<Response, Refusal> {
        let query = Query::of(&request.target);
        let is_form = request
            .header(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data;")));
        match request.method.as_str() {
            "PUT" => self.put(request, asked).await,
            "POST" if is_form => self.form(request, asked).await,
            "POST" if query.has("name") => self.begin(request, &query).await,
            "POST" => Err(Refusal::Bad("Send a form with files (curl -F file=@NAME), or say which file comes.")),
            "PATCH" => self.go_on(request, &query).await,
            "HEAD" => self.progress(request, &query).await,
            "DELETE" if is_upload_address(request) => self.cancel(request, &query).await,
            _ => Err(Refusal::Method),
        }
    }

    /// What does not depend on the kind of upload.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        if !origin::is_own_page_or_program(request) {
            return Err(Refusal::OtherOrigin);
        }
        let inner = request.path.trim_matches('/');
        if self.only && inner.contains('/') {
            return Err(Refusal::NoFolder);
        }
        Ok(())
    }

    /// The folder that a request's path names, relative to the root.
    fn folder_of(&self, request: &Request) -> Result<PathBuf, Refusal> {
        self.visible_folder(request.path.trim_matches('/'))
    }

    fn visible_folder(&self, path: &str) -> Result<PathBuf, Refusal> {
        let path = PathBuf::from(path);
        let is_shown = self.root.policy().allows_path(&path) && (!self.only || path.as_os_str().is_empty());
        if is_shown { Ok(path) } else { Err(Refusal::NoFolder) }
    }

    fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.sweep_if_due();
        self.turns.try_acquire().map_err(|_| Refusal::Busy)
    }

    fn check_size(&self, size: u64) -> Result<(), Refusal> {
        match self.max_bytes {
            Some(most) if size > most => Err(Refusal::TooLarge(most)),
            _ => Ok(()),
        }
    }

    /// GET and HEAD in an upload-only share: the page at `/`, and no word about anything else.
    fn page(&self, request: &Request) -> Response {
        if request.path != "/" {
            return pages::problem(request, StatusCode::NOT_FOUND, "This share only takes files. It shows none.");
        }
        if !request.wants_html() {
            let words = "This share takes files:\n\n    curl -T FILE ADDRESS/\n    curl -F file=@FILE ADDRESS/\n";
            return Response::text(StatusCode::OK, words);
        }
        match random::token() {
            Ok(nonce) => page::only(request, &self.root_name, self.max_bytes, &nonce),
            Err(error) => Refusal::Disk(error).respond(&Asked::of(request)),
        }
    }

    /// Looks for abandoned uploads in a thread of its own, at the start and then not more than every
    /// [`SWEEP_INTERVAL`].
    fn sweep_if_due(&self) {
        {
            let mut swept = self.swept.lock();
            if swept.is_some_and(|last| last.elapsed() < SWEEP_INTERVAL) {
                return;
            }
            *swept = Some(Instant::now());
        }
        let (root, claims, partials) = (Arc::clone(&self.root), Arc::clone(&self.claims), Arc::clone(&self.partials));
        let sweeper = std::thread::Builder::new().name("upload-sweep".to_owned());
        // Without a thread to spare it is tried again when it is next due.
        let _ = sweeper.spawn(move || partials.set(sweep::sweep(&root, &claims, PARTIAL_LIFETIME)));
    }
}

/// Whether the query holds an upload's identifier.
fn is_upload_address(request: &Request) -> bool {
    Query::of(&request.target).get("upload").is_some_and(partial::is_id)
}

/// Runs what blocks on the disk where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(Refusal::Disk(io::Error::other(panic))))
}

/// The next bytes of a body; `None` at its end. Trailers are of no interest.
async fn next_bytes(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
    loop {
        let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *body), cx)).await?;
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// A file that arrived, and under which name.
struct Saved {
    name: String,
    size: u64,
}

/// What a program is told of files that arrived. An upload-only share gives away no names: a number in one would tell
/// that the name was taken.
fn told(saved: &[Saved], only: bool) -> String {
    let mut words = String::new();
    for file in saved {
        words.push_str("Saved");
        if !only {
            words.push_str(&format!(" {}", file.name));
        }
        words.push_str(&format!(" ({})\n", human::size(file.size)));
    }
    words
}

/// `no-store`, as every answer about an upload.
fn fresh(response: Response) -> Response {
    response.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
