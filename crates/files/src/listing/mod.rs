//! A folder's page: its entries as HTML for people, as JSON for programs.
//!
//! The folder is read and sorted in a blocking thread; what goes out is made a chunk at a time as the client takes it.

pub mod assets;
mod body;
pub(crate) mod human;
pub(crate) mod icon;
mod natural;
mod order;
pub(crate) mod page;
mod readme;
mod snapshot;
pub(crate) mod text;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use doorstep_http::{Body, Request, Response, pages};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;

use self::body::{Format, ListingBody};
use self::order::View;
use self::page::Page;
use self::snapshot::Snapshot;
use crate::limits::{LISTING_COMPRESSED_FROM, MAX_LISTED_IN_FLIGHT, MAX_SCANS};
use crate::query::Query;
use crate::random;
use crate::root::Root;
use crate::variant::compress::Compressed;
use doorstep_http::coding::{Accepted, Coding};

/// What a listing says beyond the folder itself.
#[derive(Clone, Debug, Default)]
pub struct ListingContext {
    /// The shared folder's name, as the first of the path's links.
    pub root_name: String,
    /// HTML of the upload zone ([`crate::upload::zone`]), where visitors may add files.
    pub upload: Option<String>,
}

static SCANS: Semaphore = Semaphore::const_new(MAX_SCANS);
static IN_FLIGHT: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_LISTED_IN_FLIGHT)));

/// Answers with the listing of `folder`, a decoded path beneath the root, with or without slashes at its ends.
/// HTML, or JSON for `?json` and for programs that accept nothing else.
pub async fn respond(root: &Arc<Root>, folder: &str, request: &Request, context: &ListingContext) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return pages::problem(request, StatusCode::METHOD_NOT_ALLOWED, "A folder can only be read.")
            .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let query = Query::of(&request.target);
    let format = format_for(request, &query);
    let view = View::of(&query);
    let folder = folder.trim_matches('/');
    let (snapshot, order) = match read(Arc::clone(root), PathBuf::from(folder), view.clone()).await {
        Ok(read) => read,
        Err(error) => return refuse(request, &error),
    };
    let weight = u32::try_from(snapshot.entries().len()).unwrap_or(u32::MAX);
    let Ok(permit) = Arc::clone(&IN_FLIGHT).try_acquire_many_owned(weight) else {
        return pages::problem(
            request,
            StatusCode::SERVICE_UNAVAILABLE,
            "Many large folders are being read at this moment. Try again in a few seconds.",
        )
        .with(header::RETRY_AFTER, HeaderValue::from_static("5"));
    };
    let Ok(nonce) = random::token() else {
        return pages::problem(
            request,
            StatusCode::INTERNAL_SERVER_ERROR,
            "This computer gives out no random numbers.",
        );
    };
    let (head, tail) = match format {
        Format::Html => {
            let page = Page {
                root_name: &context.root_name,
                folder,
                view: &view,
                snapshot: &snapshot,
                shown: order.len(),
                upload: context.upload.as_deref(),
                nonce: &nonce,
            };
            (page.head(), page.tail())
        }
        Format::Json => {
            let mut head = String::from("{\"path\":");
            text::push_json(&if folder.is_empty() { "/".to_owned() } else { format!("/{folder}/") }, &mut head);
            head.push_str(",\"entries\":[");
            (head, format!("\n],\"complete\":{}}}\n", !snapshot.cut))
        }
    };
    let body = ListingBody {
        snapshot,
        order,
        format,
        head,
        tail: Some(tail),
        next: 0,
        current: String::new(),
        _permit: Some(permit),
    };
    let response =
        encoded(body, &request.headers).with(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    match format {
        Format::Html => page::with_headers(response, &nonce),
        Format::Json => response
            .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    }
}

/// Long listings are compressed, for clients that take it.
fn encoded(body: ListingBody, headers: &HeaderMap) -> Response {
    let response = Response::new(StatusCode::OK);
    let coding =
        Accepted::of(headers).in_order(Coding::BY_WORK).next().filter(|_| body.order.len() >= LISTING_COMPRESSED_FROM);
    let Some(coding) = coding else { return response.with_body(Body::stream(body)) };
    match Compressed::begin(body, coding) {
        Ok(compressed) => response
            .with(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()))
            .with_body(Body::stream(compressed)),
        Err(body) => response.with_body(Body::stream(body)),
    }
}

async fn read(root: Arc<Root>, folder: PathBuf, view: View) -> io::Result<(Snapshot, Vec<u32>)> {
    let _turn = SCANS.acquire().await;
    let reading = tokio::task::spawn_blocking(move || {
        let snapshot = Snapshot::read(&root, &folder)?;
        let order = view.apply(&snapshot);
        Ok((snapshot, order))
    });
    reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn format_for(request: &Request, query: &Query) -> Format {
    let accepts_json = request.header(header::ACCEPT).is_some_and(|accept| accept.contains("application/json"));
    if query.has("json") || (accepts_json && !request.wants_html()) { Format::Json } else { Format::Html }
}

fn refuse(request: &Request, error: &io::Error) -> Response {
    match error.kind() {
        io::ErrorKind::PermissionDenied => pages::problem(
            request,
            StatusCode::FORBIDDEN,
            "The computer that shares this folder does not let doorstep read it.",
        ),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            pages::problem(request, StatusCode::NOT_FOUND, "There is no such folder here.")
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) => {
            pages::problem(request, StatusCode::NOT_FOUND, "There is no such folder here.")
        }
        _ => pages::problem(
            request,
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("The computer that shares this folder could not read it: {error}."),
        ),
    }
}
