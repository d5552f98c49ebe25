//! How long the proxy waits for what, by a clock that runs as fast as nothing happens.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorstep_http::{NoObserver, Service};
use doorstep_model::{Proxy, Upstream};
use doorstep_net::{BoxFuture, BoxIo, Connect, ConnectError, Io};
use doorstep_proxy::{ReverseProxy, limits};
use support::{body, data, fed, frame, get, post, text, upstream, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

/// Gives out connections whose other ends the test holds.
#[derive(Default)]
struct Lines(Mutex<Vec<DuplexStream>>);

impl Connect for Lines {
    fn connect<'a>(&'a self, _: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>> {
        let line = self.0.lock().unwrap().pop().expect("another connection");
        Box::pin(async { Ok(Io::Other(Box::new(line) as BoxIo)) })
    }
}

/// A proxy with one connection, and the app's end of it, which takes in `window` bytes before it is read.
fn line(window: usize) -> (ReverseProxy, DuplexStream) {
    let (ours, app) = duplex(window);
    let lines = Arc::new(Lines(Mutex::new(vec![ours])));
    let proxy = Proxy { upstream: upstream(1), keep_host: false };
    (ReverseProxy::new(proxy, lines, Arc::new(NoObserver)), app)
}

async fn read_head(app: &mut DuplexStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(app.read_u8().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_never_answers() {
    let (proxy, app) = line(4096);
    let began = Instant::now();
    assert_eq!(text(&proxy, get("/")).await.0, 504);
    assert!(began.elapsed() >= limits::RESPONSE_HEAD);
    drop(app);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_thinks_for_long_but_says_so() {
    let (proxy, mut app) = line(4096);
    tokio::spawn(async move {
        read_head(&mut app).await;
        for _ in 0..10 {
            sleep(limits::RESPONSE_HEAD / 2).await;
            app.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.unwrap();
        }
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        sleep(limits::RESPONSE_HEAD).await;
    });
    assert_eq!(text(&proxy, get("/")).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_no_more_of_a_request() {
    let (proxy, app) = line(600);
    assert_eq!(text(&proxy, post("x".repeat(100_000))).await.0, 504);
    drop(app);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_uploads_slowly_is_not_the_apps_fault() {
    let (proxy, mut app) = line(4096);
    let (feeder, stream) = fed(Some(20));
    let uploading = async {
        for _ in 0..10 {
            sleep(limits::RESPONSE_HEAD / 2).await;
            feeder.data("ab");
        }
    };
    tokio::spawn(async move {
        read_head(&mut app).await;
        app.read_exact(&mut [0; 20]).await.unwrap();
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        sleep(limits::RESPONSE_HEAD).await;
    });
    let (answer, ()) = tokio::join!(text(&proxy, post(stream)), uploading);
    assert_eq!(answer.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_held_body_waits_a_second_and_no_longer() {
    let (proxy, mut app) = line(4096);
    let asked = tokio::spawn(async move {
        read_head(&mut app).await;
        let began = Instant::now();
        app.read_exact(&mut [0; 4]).await.unwrap();
        let waited = began.elapsed();
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        (waited, app)
    });
    assert_eq!(text(&proxy, with(post("body"), "expect", "100-continue")).await.0, 200);
    let (waited, _) = asked.await.unwrap();
    assert!(waited >= limits::CONTINUE_WAIT && waited < 2 * limits::CONTINUE_WAIT, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn events_may_be_hours_apart_but_not_endlessly() {
    let (proxy, mut app) = line(4096);
    tokio::spawn(async move {
        read_head(&mut app).await;
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await.unwrap();
        for _ in 0..5 {
            sleep(Duration::from_secs(6 * 60 * 60)).await;
            app.write_all(b"data: x\n\n").await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let mut response = proxy.call(get("/")).await;
    for _ in 0..5 {
        assert_eq!(data(&mut response.body).await, "data: x\n\n");
    }
    assert!(frame(&mut response.body).await.unwrap().is_err());
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let (proxy, mut app) = line(4096);
    let closed = tokio::spawn(async move {
        read_head(&mut app).await;
        app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        app.read(&mut [0; 1]).await.unwrap()
    });
    let response = proxy.call(get("/")).await;
    assert_eq!(body(response).await.unwrap(), "ok");
    assert_eq!(closed.await.unwrap(), 0, "an app with one thread would wait on it for ever");
}
