//! A folder as one ZIP archive, streamed while it is read.

mod archive;
mod body;
mod format;
mod spool;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use doorstep_http::{Body, Kind, Request, Response, pages};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;

use self::archive::Archive;
use self::body::ArchiveBody;
use crate::disposition;
use crate::limits::MAX_ZIPS;
use crate::root::Root;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_ZIPS)));

/// Answers with `folder`, a decoded path beneath the root, and everything visible in it. `name` is the shared folder's,
/// for the archive of the root itself.
pub async fn respond(root: &Arc<Root>, folder: &str, request: &Request, name: &str) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        return pages::problem(request, StatusCode::METHOD_NOT_ALLOWED, "An archive can only be read.")
            .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let folder = folder.trim_matches('/');
    let name = folder.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(name).to_owned();
    let Ok(permit) = Arc::clone(&TURNS).try_acquire_owned() else {
        return pages::problem(
            request,
            StatusCode::SERVICE_UNAVAILABLE,
            "Many folders are being downloaded at this moment. Try again in a minute.",
        )
        .with(header::RETRY_AFTER, HeaderValue::from_static("60"));
    };
    let (opened_root, start, opened_name) = (Arc::clone(root), PathBuf::from(folder), name.clone());
    let opening = tokio::task::spawn_blocking(move || Archive::new(opened_root, start, &opened_name));
    let archive = match opening.await.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(archive) => archive,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return pages::problem(
                request,
                StatusCode::FORBIDDEN,
                "The computer that shares this folder does not let doorstep read it.",
            );
        }
        Err(_) => return pages::problem(request, StatusCode::NOT_FOUND, "There is no such folder here."),
    };
    let body =
        if request.method == Method::HEAD { Body::Empty } else { Body::stream(ArchiveBody::new(archive, permit)) };
    let mut answer = Response::new(StatusCode::OK)
        .with(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"))
        .with(header::CONTENT_DISPOSITION, disposition::attachment(&format!("{name}.zip")))
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with_kind(Kind::Content);
    answer.body = body;
    answer
}
