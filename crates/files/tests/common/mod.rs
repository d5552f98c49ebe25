//! A folder to share in tests, and a visitor who asks for things in it.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use doorstep_files::FolderService;
use doorstep_http::{BodyError, Kind, Request, Response, Service};
use doorstep_model::FileOptions;
use http::{HeaderMap, Method, StatusCode};
use tempfile::TempDir;

pub struct Share {
    pub dir: TempDir,
    pub service: FolderService,
}

/// A response whose body has been read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub kind: Kind,
    /// The length that was promised, where one was.
    pub length: Option<u64>,
}

impl Share {
    pub fn new() -> Self {
        Self::with(FileOptions::default())
    }

    pub fn with(options: FileOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("share")).unwrap();
        let service = FolderService::open(&dir.path().join("share"), &options).unwrap();
        Self { dir, service }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join("share").join(relative)
    }

    /// Writes a file, and its folders, dated an hour ago.
    pub fn file(&self, relative: &str, contents: impl AsRef<[u8]>) -> &Self {
        self.file_at(relative, contents, SystemTime::now() - Duration::from_secs(3600))
    }

    pub fn file_at(&self, relative: &str, contents: impl AsRef<[u8]>, modified: SystemTime) -> &Self {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        self
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    pub async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, target, headers).await.unwrap()
    }

    pub async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Result<Answer, BodyError> {
        read(self.response(method, target, headers).await).await
    }

    pub async fn response(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Response {
        self.service.call(request(method, target, headers)).await
    }
}

pub fn request(method: Method, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::get(target);
    request.method = method;
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers.append(name, value.parse().unwrap());
    }
    request
}

pub async fn read(response: Response) -> Result<Answer, BodyError> {
    let Response { status, headers, body, kind, .. } = response;
    let length = body.len();
    let body = body.collect(64 * 1024 * 1024).await?;
    Ok(Answer { status, headers, body, kind, length })
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
