//! Members that speak HTTP/2.

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use doorstep_http::{BodyError, NoObserver, Request, Service};
use doorstep_model::{Members as MembersSpec, Pool, Upstream, UpstreamProtocol};
use doorstep_proxy::{LiveMember, Membership, PoolService};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, StatusCode};
use support::members::{ask, serve};
use support::{body, data, fed, frame, get, post, upstream, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct App {
    port: u16,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl App {
    /// Each connection to a script, numbered from 0.
    async fn raw<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, still) = (connections.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let conversation = script(count.fetch_add(1, Ordering::SeqCst), stream);
                let still = still.clone();
                still.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    conversation.await;
                    still.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, connections, open }
    }

    /// Each request to a script, with the number of its connection and its own on that.
    async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, usize, http::Request<RecvStream>, SendResponse<Bytes>) -> Fut + Send + Sync + Copy + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::raw(move |connection, stream| serve_h2(connection, stream, script)).await
    }

    fn upstream(&self) -> Upstream {
        Upstream { protocol: UpstreamProtocol::Http2, ..upstream(self.port) }
    }

    fn pool(&self) -> (Membership, PoolService) {
        let membership = Membership::new();
        membership.set(vec![LiveMember::new("a", self.upstream())]);
        let pool = Pool::new("app", MembersSpec::Fixed(Vec::new()));
        let service = serve(&pool, &membership, Arc::new(NoObserver));
        (membership, service)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve_h2<F, Fut>(connection: usize, stream: TcpStream, script: F)
where
    F: Fn(usize, usize, http::Request<RecvStream>, SendResponse<Bytes>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let Ok(mut h2) = h2::server::handshake(stream).await else { return };
    let mut number = 0;
    while let Some(Ok((request, respond))) = h2.accept().await {
        tokio::spawn(script(connection, number, request, respond));
        number += 1;
    }
}

/// Sends back what came, trailers included.
async fn echo(_: usize, _: usize, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut recv) = request.into_parts();
    let mut answer = http::Response::new(());
    for name in ["te", "content-length", "x-forwarded-for"] {
        if let Some(value) = head.headers.get(name) {
            let name = http::HeaderName::try_from(format!("x-saw-{name}")).unwrap();
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer.headers_mut().insert("x-saw-uri", head.uri.to_string().parse().unwrap());
    let Ok(mut send) = respond.send_response(answer, false) else { return };
    while let Some(Ok(data)) = recv.data().await {
        let _ = recv.flow_control().release_capacity(data.len());
        send.reserve_capacity(data.len());
        let _ = send.send_data(data, false);
    }
    let mut trailers = recv.trailers().await.ok().flatten().unwrap_or_default();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let _ = send.send_trailers(trailers);
}

async fn say_ok(_: usize, _: usize, _: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    if let Ok(mut send) = respond.send_response(http::Response::new(()), false) {
        let _ = send.send_data(Bytes::from_static(b"ok"), true);
    }
}

#[tokio::test]
async fn a_call_of_grpc_both_ways_at_once() {
    let app = App::start(echo).await;
    let (membership, service) = app.pool();
    let (feeder, stream) = fed(None);
    feeder.data("one");
    let mut response = service.call(with(post(stream), "te", "trailers")).await;
    assert_eq!(response.headers["x-saw-te"], "trailers");
    assert_eq!(response.headers["x-saw-uri"], "http://my-laptop.local:8080/");
    assert_eq!(response.headers["x-saw-x-forwarded-for"], "127.0.0.1");
    assert_eq!(data(&mut response.body).await, "one");
    feeder.data("two");
    assert_eq!(data(&mut response.body).await, "two");
    assert_eq!(membership.in_flight("a"), 1);
    feeder.trailers("x-client", "bye");
    drop(feeder);
    let trailers = frame(&mut response.body).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!((&trailers["x-client"], &trailers["x-sum"]), (&"bye".parse().unwrap(), &HeaderValue::from(7)));
    assert!(frame(&mut response.body).await.is_none());
    assert_eq!(membership.in_flight("a"), 0);
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let app = App::start(echo).await;
    let service = Arc::new(app.pool().1);
    let mut tasks = Vec::new();
    for number in 0..60 {
        let service = service.clone();
        tasks.push(tokio::spawn(async move {
            let text = format!("{number}").repeat(50_000);
            assert_eq!(ask(&service, post(text.clone())).await, (200, text));
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_it_is() {
    async fn script(_: usize, number: usize, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if number == 0 { respond.send_reset(h2::Reason::REFUSED_STREAM) } else { say_ok(0, 0, request, respond).await }
    }
    let app = App::start(script).await;
    assert_eq!(ask(&app.pool().1, post("pay")).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_stream_that_was_cut_is_not_sent_again() {
    async fn script(_: usize, number: usize, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if number == 0 { respond.send_reset(h2::Reason::INTERNAL_ERROR) } else { say_ok(0, 0, request, respond).await }
    }
    let app = App::start(script).await;
    assert_eq!(ask(&app.pool().1, post("pay")).await.0, 502);
}

/// Reads until a HEADERS frame has come, and answers with settings.
async fn read_request(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 24]).await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.unwrap();
        let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if frame[3] == 1 {
            return;
        }
    }
}

const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn what_came_after_a_goaway_goes_by_another_connection() {
    let app = App::raw(|number, mut stream| async move {
        if number > 0 {
            return serve_h2(number, stream, say_ok).await;
        }
        read_request(&mut stream).await;
        stream.write_all(&GOAWAY).await.unwrap();
        let _ = stream.read(&mut [0; 1000]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (_, service) = app.pool();
    assert_eq!(ask(&service, post("pay")).await, (200, "ok".to_owned()));
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn after_a_crash_only_what_is_idempotent_is_sent_again() {
    for (request, status, connections) in [(get("/"), 200, 2), (post("pay"), 502, 1)] {
        let app = App::raw(|number, mut stream| async move {
            if number > 0 {
                return serve_h2(number, stream, say_ok).await;
            }
            read_request(&mut stream).await;
            let _ = stream.shutdown().await;
        })
        .await;
        assert_eq!(ask(&app.pool().1, request).await.0, status);
        assert_eq!(app.connections(), connections);
    }
}

#[tokio::test]
async fn interim_responses_and_answers_without_a_body() {
    async fn script(_: usize, _: usize, _: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let mut hints = http::Response::new(());
        *hints.status_mut() = StatusCode::EARLY_HINTS;
        hints.headers_mut().insert("link", HeaderValue::from_static("</a.css>"));
        respond.send_informational(hints).unwrap();
        let mut answer = http::Response::new(());
        answer.headers_mut().insert("grpc-status", HeaderValue::from(12));
        let _ = respond.send_response(answer, true);
    }
    let app = App::start(script).await;
    let request = get("/");
    let interim = request.interim.clone();
    let response = app.pool().1.call(request).await;
    assert_eq!(response.headers["grpc-status"], "12");
    assert!(response.body.is_empty());
    let hints: Vec<(StatusCode, HeaderMap)> = interim.take();
    assert_eq!((hints[0].0.as_u16(), hints[0].1["link"].to_str().unwrap()), (103, "</a.css>"));
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off() {
    async fn script(_: usize, _: usize, _: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
        let _ = send.send_data(Bytes::from_static(b"half"), false);
        tokio::task::yield_now().await;
        send.send_reset(h2::Reason::INTERNAL_ERROR);
    }
    let app = App::start(script).await;
    let (_, service) = app.pool();
    assert!(matches!(body(service.call(get("/")).await).await, Err(BodyError::Upstream(_))));
}

#[tokio::test]
async fn a_client_that_fails_takes_its_stream_with_it() {
    let app = App::start(echo).await;
    let (membership, service) = app.pool();
    let (feeder, stream) = fed(None);
    feeder.data("one");
    let mut response = service.call(post(stream)).await;
    assert_eq!(data(&mut response.body).await, "one");
    feeder.fail(BodyError::ClientGone);
    assert!(frame(&mut response.body).await.unwrap().is_err());
    assert_eq!(membership.in_flight("a"), 0);
}

#[tokio::test]
async fn connections_to_a_draining_member_end() {
    let app = App::start(say_ok).await;
    let (membership, service) = app.pool();
    assert_eq!(ask(&service, get("/")).await.0, 200);
    let leaving = LiveMember { draining: true, ..LiveMember::new("a", app.upstream()) };
    membership.set(vec![leaving]);
    membership.drained("a").await;
    while app.open.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_app_that_does_not_speak_it_is_502() {
    let app = App::raw(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let _ = stream.read(&mut [0; 1000]).await;
    })
    .await;
    let request: Request = get("/");
    assert_eq!(ask(&app.pool().1, request).await.0, 502);
}
