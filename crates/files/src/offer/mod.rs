//! One shared file: a page that offers it at `/`, and the file itself under its name.

mod page;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorstep_http::{BoxFuture, Kind, Request, Response, Service, pages};
use doorstep_model::FileOptions;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use crate::limits::{MAX_COMPRESSED, MIN_COMPRESSED};
use crate::query::Query;
use crate::root::Root;
use crate::stamp::Stamp;
use crate::variant::{Source, Variant};
use crate::{FilesError, cors, disposition, mime};
use doorstep_http::coding::{Accepted, Coding};

/// Serves one file. `/` is a page about it, `/NAME` the file, `/NAME?download` the same to be saved.
pub struct FileService {
    origin: Origin,
    name: String,
    options: FileOptions,
}

enum Origin {
    /// Opened for each request, so that a file that was replaced is the new one.
    Path { folder: Root, relative: PathBuf },
    /// Open since the start; its name may be gone.
    Held(Arc<File>),
}

impl FileService {
    /// # Errors
    /// The file is not there, is no regular file or may not be read.
    pub fn open(path: &Path, options: &FileOptions) -> Result<Self, FilesError> {
        let (folder, relative) = Root::around(path)?;
        let name = path.file_name().or(relative.file_name()).unwrap_or_default().to_string_lossy();
        let name = name_in_address(&name);
        let service = Self { origin: Origin::Path { folder, relative }, name, options: options.clone() };
        match service.current() {
            Ok(_) => Ok(service),
            Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput) => {
                Err(FilesError::NotAFile { path: path.to_owned() })
            }
            Err(error) => Err(FilesError::opening(path, error)),
        }
    }

    /// Serves what `spool` holds under another name, also after its own is removed.
    ///
    /// # Errors
    /// As [`FileService::open`].
    pub fn named(spool: &Path, name: &str) -> Result<Self, FilesError> {
        let opening = |error| FilesError::opening(spool, error);
        let file = File::open(spool).map_err(opening)?;
        if !file.metadata().map_err(opening)?.is_file() {
            return Err(FilesError::NotAFile { path: spool.to_owned() });
        }
        Ok(Self { origin: Origin::Held(Arc::new(file)), name: name_in_address(name), options: FileOptions::default() })
    }

    /// The name that the file has in its address.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn current(&self) -> io::Result<(Arc<File>, Stamp)> {
        match &self.origin {
            Origin::Path { folder, relative } => {
                let (file, stat) = folder.open_file(relative)?;
                Ok((Arc::new(file), Stamp::of(&stat)))
            }
            Origin::Held(file) => Ok((Arc::clone(file), Stamp::of(&rustix::fs::fstat(file)?))),
        }
    }

    async fn respond(&self, request: &Request) -> Response {
        let allowed = HeaderValue::from_static("GET, HEAD, OPTIONS");
        if request.method == Method::OPTIONS {
            return Response::new(StatusCode::NO_CONTENT).with(header::ALLOW, allowed);
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            let detail = "The file can be read, and nothing else.";
            return pages::problem(request, StatusCode::METHOD_NOT_ALLOWED, detail).with(header::ALLOW, allowed);
        }
        let is_file = request.path.strip_prefix('/') == Some(&*self.name);
        if !is_file && request.path != "/" {
            let detail = format!("Only {} is shared here. It is at the address without anything behind it.", self.name);
            return pages::problem(request, StatusCode::NOT_FOUND, &detail);
        }
        match self.current() {
            Ok((file, stamp)) if is_file => self.file(request, file, &stamp),
            Ok((file, stamp)) => page::respond(request, &self.name, &file, &stamp).await,
            Err(error) => refuse(request, &error),
        }
    }

    fn file(&self, request: &Request, file: Arc<File>, stamp: &Stamp) -> Response {
        let mime = mime::of(&self.name);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, mime.value);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let query = Query::of(&request.target);
        let download = query.has("download");
        if download {
            headers.insert(header::CONTENT_DISPOSITION, disposition::attachment(&self.name));
        }
        if mime.compressible {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        // Somebody who saves it wants to see how far it is, and to go on after a break: both need its own length.
        let compress = mime.compressible
            && !download
            && !request.headers.contains_key(header::RANGE)
            && (MIN_COMPRESSED..=MAX_COMPRESSED).contains(&stamp.len);
        let source = Source::File { file, len: stamp.len };
        let coding = Accepted::of(&request.headers).in_order(Coding::BY_WORK).next().filter(|_| compress);
        let variant = match coding {
            Some(coding) => Variant::on_the_way(&headers, source, stamp, coding),
            None => Variant::stored(&headers, source, stamp, None),
        };
        let mut response = variant.answer(request);
        if query.has("preview") && response.kind == Kind::Content {
            // A look at it on its page is not yet the download after which `--once` ends.
            response.kind = Kind::Partial;
        }
        response
    }
}

impl Service for FileService {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let mut response = self.respond(&request).await;
            if self.options.cors {
                cors::allow(&mut response, &cors::Asked::of(&request));
            }
            response
        })
    }
}

/// One segment that a canonical path can have.
fn name_in_address(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default().replace(|c: char| c.is_control(), "_");
    if matches!(&*last, "" | "." | "..") { "download".to_owned() } else { last }
}

fn refuse(request: &Request, error: &io::Error) -> Response {
    let (status, detail) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            StatusCode::FORBIDDEN,
            "The computer that shares this file does not let doorstep read it any more.".to_owned(),
        ),
        io::ErrorKind::NotFound => (StatusCode::NOT_FOUND, "The file that was shared here is gone.".to_owned()),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, format!("This computer could not read the file: {error}.")),
    };
    pages::problem(request, status, &detail)
}
