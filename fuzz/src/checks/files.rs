use std::fs;
use std::sync::LazyLock;

use bytes::Bytes;
use doorstep_files::FolderService;
use doorstep_http::path::canonical;
use doorstep_http::{Body, Request, Response, Service};
use doorstep_model::{FileOptions, UploadPolicy};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tempfile::TempDir;

use super::split_off_byte;

/// What must never be seen from outside.
const SECRET: &[u8] = b"SECRET";

static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..5000u32).map(|n| (n % 251) as u8).collect());

/// A shared folder with a file, a hidden file, and a link that leads out of it; beside it a secret.
struct Share {
    place: TempDir,
    service: FolderService,
}

impl Share {
    fn new(upload: UploadPolicy) -> Self {
        let place = TempDir::new().expect("a temporary folder");
        let root = place.path().join("root");
        fs::create_dir_all(root.join("sub")).expect("a folder");
        fs::write(place.path().join("outside.txt"), SECRET).expect("a file");
        fs::write(root.join(".env"), SECRET).expect("a file");
        fs::write(root.join("data.bin"), &*CONTENT).expect("a file");
        fs::write(root.join("sub/page.txt"), "some text ".repeat(500)).expect("a file");
        std::os::unix::fs::symlink("../outside.txt", root.join("link.txt")).expect("a link");
        let options = FileOptions { upload, ..FileOptions::default() };
        let service = FolderService::open(&root, &options).expect("a share");
        Self { place, service }
    }

    fn call(&self, request: Request) -> (Response, Vec<u8>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().max_blocking_threads(1).build().expect("a runtime");
        let answered = runtime.block_on(async {
            let mut response = self.service.call(request).await;
            let body = std::mem::replace(&mut response.body, Body::Empty);
            let declared = body.len();
            let bytes = body.collect(64 << 20).await.expect("a body");
            assert!(declared.is_none_or(|declared| declared == bytes.len() as u64), "{declared:?}, {}", bytes.len());
            (response, bytes.to_vec())
        });
        // What was left to be cleared away has been, once the one thread for such work comes to this.
        runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await.expect("the last work") });
        answered
    }
}

thread_local! {
    static READ: Share = Share::new(UploadPolicy::Off);
    static WRITE: Share = Share::new(UploadPolicy::Allowed { max_bytes: Some(1 << 20) });
}

/// Lines: the request's target, Range, Accept-Encoding, If-Range, If-None-Match, If-Modified-Since.
pub fn read(data: &[u8]) {
    const FIELDS: [HeaderName; 5] =
        [header::RANGE, header::ACCEPT_ENCODING, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(mut request) = lines.next().and_then(request_for) else { return };
    for (name, line) in FIELDS.into_iter().zip(lines) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            request.headers.insert(name, value);
        }
    }
    let is_data = request.path == "/data.bin";
    READ.with(|share| {
        let (response, body) = share.call(request);
        assert!(!body.windows(SECRET.len()).any(|bytes| bytes == SECRET));
        assert!(response.status != StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(range) = response.headers.get(header::CONTENT_RANGE).filter(|_| is_data) {
            let range = range.to_str().expect("a range of text");
            let Some((first, last)) =
                range.strip_prefix("bytes ").and_then(|range| range.split_once('/')?.0.split_once('-'))
            else {
                return assert_eq!(response.status, StatusCode::RANGE_NOT_SATISFIABLE);
            };
            assert_eq!(response.status, StatusCode::PARTIAL_CONTENT);
            let (first, last): (usize, usize) = (first.parse().expect("first"), last.parse().expect("last"));
            assert_eq!(body, &CONTENT[first..=last]);
        }
    });
}

/// The first byte chooses between PUT, with the next line as its path, and a form, with the next line as its boundary.
pub fn upload(data: &[u8]) {
    let Some((choice, input)) = split_off_byte(data) else { return };
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, body) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let request = if choice % 2 == 0 {
        request_for(line).map(|mut request| {
            request.method = Method::PUT;
            request
        })
    } else {
        request_for(b"/").and_then(|mut request| {
            request.method = Method::POST;
            let kind = [b"multipart/form-data; boundary=", line].concat();
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(&kind).ok()?);
            Some(request)
        })
    };
    let Some(mut request) = request else { return };
    request.body = Body::stream(Packets { rest: Bytes::copy_from_slice(body), size: choice / 2 + 1 });
    WRITE.with(|share| {
        share.call(request);
        let root = share.place.path().join("root");
        assert_eq!(fs::read(share.place.path().join("outside.txt")).expect("the secret"), SECRET);
        assert_eq!(fs::read(root.join(".env")).expect("the hidden file"), SECRET);
        assert_eq!(fs::read(root.join("data.bin")).expect("the file"), *CONTENT);
        let outside: Vec<_> = fs::read_dir(share.place.path()).expect("the place").collect();
        assert_eq!(outside.len(), 2, "{outside:?}");
        tidy(&root, &["sub", ".env", "data.bin", "link.txt"]);
        tidy(&root.join("sub"), &["page.txt"]);
    });
}

/// Removes what was uploaded, which must be plain files with harmless names.
fn tidy(folder: &std::path::Path, keep: &[&str]) {
    for entry in fs::read_dir(folder).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name of text");
        if keep.contains(&&*name) {
            continue;
        }
        assert!(entry.file_type().expect("a type").is_file(), "{name:?}");
        assert!(!name.starts_with('.') && !name.chars().any(char::is_control), "{name:?}");
        fs::remove_file(entry.path()).expect("an upload can be removed");
    }
}

/// A GET as the engine would present it; `None` for what it refuses.
fn request_for(target: &[u8]) -> Option<Request> {
    let target: http::Uri = http::uri::PathAndQuery::try_from(target).ok()?.into();
    let path = canonical(target.path()).filter(|path| path.starts_with('/'))?;
    let mut request = Request::get("/");
    request.path = path;
    request.target = target;
    Some(request)
}

/// A body in packets of one size.
struct Packets {
    rest: Bytes,
    size: usize,
}

impl http_body::Body for Packets {
    type Data = Bytes;
    type Error = doorstep_http::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let size = self.size.min(self.rest.len());
        let packet = self.rest.split_to(size);
        std::task::Poll::Ready((!packet.is_empty()).then(|| Ok(http_body::Frame::data(packet))))
    }
}
