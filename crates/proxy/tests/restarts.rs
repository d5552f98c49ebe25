//! What becomes of requests while members crash, are away, and come back.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorstep_http::{NoObserver, Request, Service};
use doorstep_model::{Members as MembersSpec, Pool, PoolQueue, Upstream, UpstreamAddr};
use doorstep_proxy::{LiveMember, Membership, PoolService};
use http::Method;
use support::members::{ask, named, serve};
use support::{Findings, Origin, fed, get, post, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

fn pool(change: impl FnOnce(&mut Pool)) -> Pool {
    let mut pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
    change(&mut pool);
    pool
}

fn patient() -> Pool {
    pool(|pool| pool.queue = PoolQueue { most: 4096, wait: Duration::from_secs(3600) })
}

fn at(path: &Path) -> Upstream {
    Upstream::plain(UpstreamAddr::Unix(path.to_owned()), "localhost")
}

fn service(pool: &Pool, members: Vec<LiveMember>) -> (Membership, Arc<PoolService>) {
    let membership = Membership::new();
    membership.set(members);
    let service = Arc::new(serve(pool, &membership, Arc::new(NoObserver)));
    (membership, service)
}

/// Sends in a task of its own.
fn sent(service: &Arc<PoolService>, request: Request) -> JoinHandle<(u16, String)> {
    let service = service.clone();
    tokio::spawn(async move { ask(&service, request).await })
}

/// An app on a unix socket; aborting it is a crash: its connections end where they are.
fn app(path: &Path, served: Arc<AtomicUsize>) -> JoinHandle<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream, served.clone()));
        }
    })
}

async fn answer(mut stream: UnixStream, served: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        if buffer.ends_with(b"\r\n\r\n") {
            buffer.clear();
            // An app takes a while, and may be killed meanwhile.
            tokio::task::yield_now().await;
            served.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    }
}

#[tokio::test]
async fn no_get_fails_though_the_only_instance_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let served = Arc::new(AtomicUsize::new(0));
    let mut running = app(&path, served.clone());
    let (_, service) = service(&patient(), vec![LiveMember::new("a", at(&path))]);
    let visitors: Vec<_> = (0..8)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                for _ in 0..50 {
                    assert_eq!(ask(&service, get("/")).await, (200, "ok".to_owned()));
                }
            })
        })
        .collect();
    for crash in 1..=5 {
        while served.load(Ordering::SeqCst) < crash * 60 {
            tokio::task::yield_now().await;
        }
        running.abort();
        let _ = running.await;
        // Down for a moment: the file of the socket stays, as after kill -9.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        running = app(&path, served.clone());
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_was_under_way_goes_to_another_member() {
    let dying = Origin::start(|_, mut peer| async move {
        peer.head().await;
        // Half a head is no answer either.
        peer.say("HTTP/1.1 200 OK\r\nConte").await;
    })
    .await;
    let well = named("well").await;
    let members = vec![LiveMember::new("a", dying.upstream()), LiveMember::new("b", well.upstream())];
    let (_, service) = service(&pool(|_| {}), members);
    for _ in 0..2 {
        assert_eq!(ask(&service, get("/")).await, (200, "well".to_owned()));
    }
    assert_eq!(dying.connections(), 2);
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let dying = Origin::start(|_, mut peer| async move {
        peer.head().await;
    })
    .await;
    let well = named("well").await;
    let members = vec![LiveMember::new("a", dying.upstream()), LiveMember::new("b", well.upstream())];
    let (_, service) = service(&pool(|_| {}), members);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(ask(&service, post("pay")).await.0);
    }
    statuses.sort_unstable();
    assert_eq!((statuses, dying.connections()), (vec![200, 502], 1));
}

#[tokio::test]
async fn what_was_not_sent_may_go_elsewhere_whatever_it_is() {
    let gone = Origin::start(|_, _| async {}).await;
    let refused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        support::upstream(listener.local_addr().unwrap().port())
    };
    drop(gone);
    let well = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwell").await;
    let members = vec![LiveMember::new("a", refused), LiveMember::new("b", well.upstream())];
    let (_, service) = service(&pool(|_| {}), members);
    for _ in 0..4 {
        let (feeder, body) = fed(Some(3));
        feeder.data("pay");
        drop(feeder);
        assert_eq!(ask(&service, post(body)).await.0, 200);
    }
}

#[tokio::test]
async fn requests_wait_for_somebody_to_be_there() {
    let (membership, service) = service(&patient(), Vec::new());
    let waiting: Vec<_> = (0..20).map(|_| sent(&service, get("/"))).chain([sent(&service, post("pay"))]).collect();
    while service.waiting() < 21 {
        tokio::task::yield_now().await;
    }
    let well = named("well").await;
    membership.set(vec![LiveMember::new("a", well.upstream())]);
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), (200, "well".to_owned()));
    }
    assert_eq!(service.waiting(), 0);
}

#[tokio::test]
async fn an_app_whose_socket_is_not_there_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let (_, service) = service(&patient(), vec![LiveMember::new("a", at(&path))]);
    let waiting = [sent(&service, get("/")), sent(&service, post(""))];
    while service.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let running = app(&path, Arc::default());
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), (200, "ok".to_owned()));
    }
    running.abort();
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let full = pool(|pool| pool.queue = PoolQueue { most: 1, wait: Duration::from_secs(3600) });
    let (_, service) = service(&full, Vec::new());
    let first = sent(&service, get("/"));
    while service.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    let response = service.call(get("/")).await;
    assert_eq!((response.status.as_u16(), response.headers["retry-after"].to_str().unwrap()), (503, "5"));
    // Whoever leaves makes room.
    first.abort();
    let _ = first.await;
    assert_eq!(service.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end_that_tells_nothing_of_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.sock");
    let membership = Membership::new();
    let findings = Arc::new(Findings::default());
    let service = serve(&pool(|_| {}), &membership, findings.clone());
    let began = tokio::time::Instant::now();
    let response = service.call(get("/")).await;
    let (status, headers) = (response.status, response.headers.clone());
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (503, "5"));
    assert!(headers.contains_key("doorstep-app-down"));
    let line = response.body.collect(1 << 20).await.unwrap();
    assert_eq!(line, "503 The app behind this site is not running just now; it may be starting.\n");
    assert_eq!(began.elapsed(), PoolQueue::default().wait);
    membership.set(vec![LiveMember::new("a", at(&path))]);
    let (status, page) = ask(&service, with(get("/"), "accept", "text/html")).await;
    assert_eq!(status, 503);
    assert!(page.contains("The app behind this site is not running just now") && page.contains("data-reload=yes"));
    assert!(page.contains("http-equiv=refresh") && !page.contains("secret"), "{page}");
    let found = findings.0.lock().unwrap();
    assert!(found.iter().any(|finding| finding.id == "upstream-down" && finding.what.contains("secret.sock")));
    assert!(found.iter().any(|finding| finding.id == "app-down"));
}

#[tokio::test]
async fn other_methods_that_are_idempotent_are_tried_again_too() {
    let dying = Origin::start(|_, mut peer| async move {
        peer.head().await;
    })
    .await;
    let well = named("well").await;
    let members = vec![LiveMember::new("a", dying.upstream()), LiveMember::new("b", well.upstream())];
    let (_, service) = service(&pool(|_| {}), members);
    for method in [Method::PUT, Method::DELETE] {
        let mut request = get("/");
        request.method = method;
        assert_eq!(ask(&service, request).await.0, 200);
    }
}

#[tokio::test]
async fn retries_have_an_end() {
    let dying = Origin::start(|_, mut peer| async move {
        peer.head().await;
    })
    .await;
    let (_, service) = service(&pool(|pool| pool.passive.max_fails = 0), vec![LiveMember::new("a", dying.upstream())]);
    assert_eq!(ask(&service, get("/")).await.0, 502);
    assert_eq!(dying.connections(), 3);
}
