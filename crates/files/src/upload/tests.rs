//! The whole service on a real folder, without a network.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use doorstep_http::{Body, BodyError, Request, Response};
use doorstep_model::UploadPolicy;
use http::{HeaderValue, Method, StatusCode};

use super::Uploads;
use crate::policy::{PARTIAL_PREFIX, Policy};
use crate::root::Root;

fn uploads(folder: &Path, policy: UploadPolicy) -> Uploads {
    let root = Arc::new(Root::open(folder, Policy::default()).unwrap());
    Uploads::new(root, "shared", &policy).unwrap()
}

const OPEN: UploadPolicy = UploadPolicy::Allowed { max_bytes: None };

fn request(method: Method, target: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::get(target);
    request.method = method;
    request.body = body.into();
    request
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn text(response: Response) -> String {
    String::from_utf8(response.body.collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers[name].to_str().unwrap()
}

async fn begin(uploads: &Uploads, target: &str) -> String {
    let response = uploads.handle(request(Method::POST, target, Body::Empty)).await;
    assert_eq!(response.status, StatusCode::CREATED);
    header(&response, "location").to_owned()
}

async fn patch(uploads: &Uploads, location: &str, offset: u64, body: impl Into<Body>) -> Response {
    let mut patch = request(Method::PATCH, location, body);
    patch.headers.insert("upload-offset", HeaderValue::from(offset));
    uploads.handle(patch).await
}

/// A body that gives some bytes and then breaks, as a dropped connection does.
struct Breaks(Option<&'static str>);

impl http_body::Body for Breaks {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        Poll::Ready(Some(
            self.0.take().map_or(Err(BodyError::ClientGone), |text| Ok(http_body::Frame::data(text.into()))),
        ))
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_a_break_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = uploads(dir.path(), OPEN);
    let location = begin(&before, "/?upload&name=a.txt&size=10").await;
    assert!(names(dir.path()).is_empty(), "nothing is written before there is something to write");
    let broken = patch(&before, &location, 0, Body::stream(Breaks(Some("01234")))).await;
    assert_eq!(broken.status, StatusCode::REQUEST_TIMEOUT);
    assert!(names(dir.path())[0].starts_with(PARTIAL_PREFIX));

    let after = uploads(dir.path(), OPEN);
    let head = after.handle(request(Method::HEAD, &location, Body::Empty)).await;
    assert_eq!((head.status, header(&head, "upload-offset")), (StatusCode::OK, "5"));
    let wrong = patch(&after, &location, 3, "x").await;
    assert_eq!((wrong.status, header(&wrong, "upload-offset")), (StatusCode::CONFLICT, "5"));
    let part = patch(&after, &location, 5, "56").await;
    assert_eq!((part.status, header(&part, "upload-complete")), (StatusCode::NO_CONTENT, "?0"));
    let done = patch(&after, &location, 7, "789").await;
    assert_eq!((done.status, header(&done, "upload-complete")), (StatusCode::OK, "?1"));
    assert!(text(done).await.contains("\"name\":\"a.txt\""));
    assert_eq!(std::fs::read_to_string(dir.path().join("a.txt")).unwrap(), "0123456789");
    assert_eq!(names(dir.path()), ["a.txt"]);

    // The answer was lost: asking again is told that it is complete, and sending again sends nothing twice.
    let again = after.handle(request(Method::HEAD, &location, Body::Empty)).await;
    assert_eq!(header(&again, "upload-complete"), "?1");
    assert_eq!(patch(&after, &location, 7, "789").await.status, StatusCode::OK);
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[tokio::test]
async fn folders_come_along_and_nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    for _ in 0..2 {
        let location = begin(&uploads, "/?upload&name=b%20c.txt&size=1&folder=x/y").await;
        assert_eq!(patch(&uploads, &location, 0, "1").await.status, StatusCode::OK);
    }
    let empty = begin(&uploads, "/x/?upload&name=empty&size=0").await;
    assert_eq!(patch(&uploads, &empty, 0, Body::Empty).await.status, StatusCode::OK);
    assert_eq!(names(&dir.path().join("x/y")), ["b c (1).txt", "b c.txt"]);
    assert_eq!(names(&dir.path().join("x")), ["empty", "y"]);
}

#[tokio::test]
async fn cancelled_and_overlong_uploads_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    let location = begin(&uploads, "/?upload&name=a&size=10").await;
    patch(&uploads, &location, 0, "123").await;
    let deleted = uploads.handle(request(Method::DELETE, &location, Body::Empty)).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let head = uploads.handle(request(Method::HEAD, &location, Body::Empty)).await;
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    let location = begin(&uploads, "/?upload&name=a&size=2").await;
    assert_eq!(patch(&uploads, &location, 0, "123").await.status, StatusCode::BAD_REQUEST);
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn put_saves_under_the_last_part_of_the_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let uploads = uploads(dir.path(), OPEN);
    let saved = uploads.handle(request(Method::PUT, "/sub/a%20b.txt", "hello")).await;
    assert_eq!(saved.status, StatusCode::CREATED);
    assert_eq!(text(saved).await, "Saved a b.txt (5 bytes)\n");
    let second = uploads.handle(request(Method::PUT, "/sub/a%20b.txt", "other")).await;
    assert_eq!(text(second).await, "Saved a b (1).txt (5 bytes)\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("sub/a b.txt")).unwrap(), "hello");
    for (target, status) in [
        ("/none/a.txt", StatusCode::NOT_FOUND),
        ("/sub/", StatusCode::BAD_REQUEST),
        ("/.env", StatusCode::BAD_REQUEST),
        ("/.git/config", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(uploads.handle(request(Method::PUT, target, "x")).await.status, status, "{target}");
    }
    assert_eq!(names(dir.path()), ["sub"]);
}

#[tokio::test]
async fn a_body_that_breaks_leaves_nothing_of_a_put() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    let broken = uploads.handle(request(Method::PUT, "/a.txt", Body::stream(Breaks(Some("part"))))).await;
    assert_eq!(broken.status, StatusCode::REQUEST_TIMEOUT);
    assert!(names(dir.path()).is_empty());
}

fn form(target: &str, body: &'static str) -> Request {
    let mut form = request(Method::POST, target, body);
    form.headers.insert("content-type", HeaderValue::from_static("multipart/form-data; boundary=b"));
    form
}

#[tokio::test]
async fn forms_bring_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nnot a file\r\n\
        --b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../one.txt\"\r\n\r\n1\r\n\
        --b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"two.txt\"\r\n\r\n22\r\n--b--\r\n";
    let saved = uploads.handle(form("/", FORM)).await;
    assert_eq!(text(saved).await, "Saved one.txt (1 byte)\nSaved two.txt (2 bytes)\n");
    let mut browser = form("/?upload", FORM);
    browser.headers.insert("accept", HeaderValue::from_static("text/html"));
    let redirected = uploads.handle(browser).await;
    assert_eq!((redirected.status, header(&redirected, "location")), (StatusCode::SEE_OTHER, "?saved=2"));
    assert_eq!(names(dir.path()), ["one (1).txt", "one.txt", "two (1).txt", "two.txt"]);
}

#[tokio::test]
async fn a_form_that_is_cut_keeps_only_its_whole_files() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    let cut = "--b\r\nContent-Disposition: form-data; name=f; filename=whole.txt\r\n\r\n1\r\n\
        --b\r\nContent-Disposition: form-data; name=f; filename=cut.txt\r\n\r\n22";
    assert_eq!(uploads.handle(form("/", cut)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(names(dir.path()), ["whole.txt"]);
}

#[tokio::test]
async fn sizes_are_bounded_however_a_file_comes() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), UploadPolicy::Allowed { max_bytes: Some(4) });
    let post = uploads.handle(request(Method::POST, "/?upload&name=a&size=5", Body::Empty)).await;
    let put = uploads.handle(request(Method::PUT, "/a", "12345")).await;
    let form = uploads
        .handle(form("/", "--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n12345\r\n--b--\r\n"))
        .await;
    for response in [post, put, form] {
        assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(text(response).await.contains("up to 4 bytes"));
    }
    assert_eq!(uploads.handle(request(Method::PUT, "/a", "1234")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn other_websites_cannot_send() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = uploads(dir.path(), OPEN);
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let mut foreign = request(method, "/a", "x");
        foreign.headers.insert("origin", HeaderValue::from_static("https://evil.example"));
        assert_eq!(uploads.handle(foreign).await.status, StatusCode::FORBIDDEN);
    }
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn an_upload_only_share_tells_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(dir.path().join("there.txt"), "x").unwrap();
    let uploads = uploads(dir.path(), UploadPolicy::Only { max_bytes: None });
    let mut answers = Vec::new();
    for target in ["/there.txt", "/missing.txt", "/folder/", "/missing/"] {
        let response = uploads.handle(Request::get(target)).await;
        answers.push((response.status, text(response).await));
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]) && answers[0].0 == StatusCode::NOT_FOUND);
    for target in ["/there.txt", "/missing.txt"] {
        let saved = uploads.handle(request(Method::PUT, target, "y")).await;
        assert_eq!(text(saved).await, "Saved (1 byte)\n");
    }
    for target in ["/folder/x.txt", "/missing/x.txt"] {
        assert_eq!(uploads.handle(request(Method::PUT, target, "y")).await.status, StatusCode::NOT_FOUND);
    }
    let location = begin(&uploads, "/?upload&name=there.txt&size=1").await;
    let done = patch(&uploads, &location, 0, "z").await;
    assert!(!text(done).await.contains("there"));
    let mut browser = Request::get("/");
    browser.headers.insert("accept", HeaderValue::from_static("text/html"));
    let page = uploads.handle(browser).await;
    assert!(text(page).await.contains("Drop files or folders here"));
}
