use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_http::Body;

use super::*;

/// A share of one file of 100 bytes, a listing, and a range of the file.
struct Share;

impl Service for Share {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let response = match (request.path.as_str(), request.header(header::RANGE)) {
            ("/", _) => Response::text(StatusCode::OK, "listing"),
            (_, None) => Response::new(StatusCode::OK).with_body("x".repeat(100)).with_kind(Kind::Content),
            (_, Some(range)) => {
                let range = format!("bytes {}/100", range.trim_start_matches("bytes="));
                Response::new(StatusCode::PARTIAL_CONTENT)
                    .with(header::CONTENT_RANGE, HeaderValue::from_str(&range).unwrap())
                    .with_kind(Kind::Partial)
            }
        };
        Box::pin(std::future::ready(response))
    }
}

struct Scene {
    once: Once,
    stops: Arc<AtomicUsize>,
}

impl Scene {
    fn new() -> Self {
        let stops = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&stops);
        let stop = Stop::new(move |ended| {
            assert_eq!(ended, Ended::Downloaded);
            count.fetch_add(1, Ordering::Relaxed);
        });
        Self { once: Once::new(Arc::new(Share), stop), stops }
    }

    async fn get(&self, client: u8, path: &str) -> Response {
        self.once.call(request(client, path)).await
    }

    async fn get_range(&self, client: u8, range: &'static str) -> Response {
        let mut request = request(client, "/a");
        request.headers.insert(header::RANGE, HeaderValue::from_static(range));
        self.once.call(request).await
    }

    fn stops(&self) -> usize {
        self.stops.load(Ordering::Relaxed)
    }
}

fn request(client: u8, path: &str) -> Request {
    let mut request = Request::get(path);
    let mut conn = (*request.conn).clone();
    conn.peer = SocketAddr::from(([192, 0, 2, client], 1));
    request.conn = conn.into();
    request
}

/// What the engine does when a response is over.
fn finish(response: &mut Response, outcome: Outcome, sent: u64) {
    response.finished.take().expect("the download is counted")(outcome, sent);
}

#[tokio::test]
async fn one_download_ends_it() {
    let scene = Scene::new();
    assert!(scene.get(1, "/").await.finished.is_none(), "pages do not count");
    assert!(scene.get(1, "/favicon.ico").await.finished.is_none());
    let mut first = scene.get(1, "/a").await;
    assert_eq!((first.status, first.body.len()), (StatusCode::OK, Some(100)));
    assert_eq!(scene.get(2, "/a").await.status, StatusCode::CONFLICT);
    assert_eq!(scene.get(2, "/").await.status, StatusCode::OK);
    assert_eq!(scene.stops(), 0);
    finish(&mut first, Outcome::Complete, 100);
    assert_eq!(scene.stops(), 1);
    for path in ["/", "/a"] {
        assert_eq!(scene.get(1, path).await.status, StatusCode::GONE);
    }
}

#[tokio::test]
async fn a_head_is_no_download() {
    let scene = Scene::new();
    let mut head = request(1, "/a");
    head.method = Method::HEAD;
    assert!(scene.once.call(head).await.finished.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_broken_download_may_be_resumed_by_whoever_began_it() {
    let scene = Scene::new();
    finish(&mut scene.get(1, "/a").await, Outcome::ClientGone, 30);
    assert_eq!(scene.get(2, "/a").await.status, StatusCode::CONFLICT);
    finish(&mut scene.get_range(1, "bytes=30-99").await, Outcome::ClientGone, 50);
    assert_eq!(scene.stops(), 0);
    finish(&mut scene.get_range(1, "bytes=80-99").await, Outcome::Complete, 20);
    assert_eq!(scene.stops(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_download_is_free_again() {
    let scene = Scene::new();
    drop(scene.get(1, "/a").await);
    tokio::time::advance(RESUME_GRACE - Duration::from_secs(1)).await;
    assert_eq!(scene.get(2, "/a").await.status, StatusCode::CONFLICT);
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut second = scene.get(2, "/a").await;
    assert_eq!(scene.get(1, "/a").await.status, StatusCode::CONFLICT);
    finish(&mut second, Outcome::Complete, 100);
    assert_eq!(scene.stops(), 1);
}

#[tokio::test]
async fn several_connections_of_one_client_count_together() {
    let scene = Scene::new();
    let mut parts = Vec::new();
    for range in ["bytes=0-49", "bytes=50-79", "bytes=80-99"] {
        parts.push(scene.get_range(1, range).await);
    }
    for (mut part, sent) in parts.into_iter().zip([50, 30, 20]) {
        assert_eq!(scene.stops(), 0);
        finish(&mut part, Outcome::Complete, sent);
    }
    assert_eq!(scene.stops(), 1);
}

#[tokio::test]
async fn two_that_end_together_stop_it_once() {
    let scene = Scene::new();
    let (mut first, mut second) = (scene.get(1, "/a").await, scene.get(1, "/a").await);
    finish(&mut first, Outcome::Complete, 100);
    finish(&mut second, Outcome::Complete, 100);
    assert_eq!(scene.stops(), 1);
}

#[tokio::test]
async fn the_service_behind_still_hears_how_it_ended() {
    struct Listens(Arc<AtomicUsize>);
    impl Service for Listens {
        fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
            let heard = Arc::clone(&self.0);
            let mut response = Response::new(StatusCode::OK).with_body("x").with_kind(Kind::Content);
            response.body = Body::from("x");
            response.finished = Some(Box::new(move |_, sent| heard.store(sent as usize, Ordering::Relaxed)));
            Box::pin(std::future::ready(response))
        }
    }
    let heard = Arc::new(AtomicUsize::new(0));
    let once = Once::new(Arc::new(Listens(Arc::clone(&heard))), Stop::new(|_| {}));
    finish(&mut once.call(request(1, "/a")).await, Outcome::Complete, 7);
    assert_eq!(heard.load(Ordering::Relaxed), 7);
}
