//! The HTTP/2 server with prior knowledge, driven by the `h2` client.

mod support;

use bytes::Bytes;
use doorstep_http::limits::Limits;
use doorstep_http::{Request, Response};
use doorstep_net::Patience;
use h2::client;
use http::{Method, StatusCode, Version};
use support::{Answer, Server, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn echo() -> impl doorstep_http::Service {
    Answer(|mut request: Request| async move {
        assert_eq!(request.version, Version::HTTP_2);
        match request.body.take().collect(4 << 20).await {
            Ok(body) => Response::new(StatusCode::OK).with_body(body),
            Err(error) => Response::text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    })
}

async fn connect(server: &Server) -> client::SendRequest<Bytes> {
    let stream = server.connect().await;
    let (sender, connection) = client::handshake(stream).await.expect("the preface is answered");
    tokio::spawn(connection);
    sender.ready().await.expect("ready")
}

async fn body_of(mut body: h2::RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("a body");
        body.flow_control().release_capacity(data.len()).expect("capacity");
        all.extend_from_slice(&data);
    }
    all
}

#[tokio::test]
async fn many_streams_carry_large_bodies_both_ways() {
    let server = serve(echo(), Limits::default());
    let sender = connect(&server).await;
    let mut tasks = Vec::new();
    for index in 0..20u8 {
        let mut sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            let request = http::Request::post("http://a.example/x").body(()).unwrap();
            let (response, mut stream) = sender.send_request(request, false).unwrap();
            let sent = vec![index; 300_000];
            stream.send_data(sent.clone().into(), true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.headers()["content-length"], "300000");
            assert!(body_of(response.into_body()).await == sent);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(server.seen.0.lock().len(), 20);
}

#[tokio::test]
async fn an_extended_connect_is_an_upgrade() {
    let server = serve(
        Answer(|request: Request| async move {
            assert!(request.upgradable && request.method == Method::GET);
            assert_eq!(request.header("upgrade"), Some("websocket"));
            let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS);
            response.upgrade = Some(Box::new(|mut io| {
                Box::pin(async move {
                    let mut buffer = [0; 5];
                    io.read_exact(&mut buffer).await.unwrap();
                    io.write_all(&buffer).await.unwrap();
                    io.shutdown().await.unwrap();
                })
            }));
            response
        }),
        Limits::default(),
    );
    let mut sender = connect(&server).await;
    // The client learns from the server's SETTINGS that it may.
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut request = http::Request::builder().method(Method::CONNECT).uri("http://a.example/ws").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(body_of(response.into_body()).await, b"hello");
}

#[tokio::test]
async fn a_client_that_resets_too_often_is_sent_away() {
    let server = serve(Answer(|_| std::future::pending::<Response>()), Limits::default());
    let stream = server.connect().await;
    let (mut sender, connection) = client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    for _ in 0..1000 {
        let Ok(mut ready) = sender.clone().ready().await else { break };
        let request = http::Request::get("http://a.example/").body(()).unwrap();
        let Ok((_, mut stream)) = ready.send_request(request, true) else { break };
        tokio::task::yield_now().await;
        stream.send_reset(h2::Reason::CANCEL);
        sender = ready;
    }
    // GOAWAY, or the reset of a connection that was closed with our frames unread: which one arrives first is a race.
    ended.await.unwrap().expect_err("the connection is closed");
    let served = server.seen.0.lock().len();
    assert!(served <= 2 * doorstep_http::limits::H2_RESETS as usize, "{served}");
}

#[tokio::test]
async fn a_drain_says_goodbye_and_lets_streams_finish() {
    for patience in [Patience::Gentle, Patience::Now] {
        let server = serve(echo(), Limits::default());
        let (sender, connection) = client::handshake(server.connect().await).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let request = http::Request::post("http://a.example/x").body(()).unwrap();
        let (response, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"begun "), false).unwrap();
        let idle = client::handshake(server.connect().await).await.unwrap();
        let idle_connection = tokio::spawn(idle.1);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        server.drain.start(patience);
        // An idle connection ends without an error: GOAWAY first, then the end.
        idle_connection.await.unwrap().expect("a clean end");
        stream.send_data(Bytes::from_static(b"and finished"), true).unwrap();
        assert_eq!(body_of(response.await.unwrap().into_body()).await, b"begun and finished");
        connection.await.unwrap().expect("a clean end");
        tokio::time::timeout(std::time::Duration::from_secs(10), server.drain.finished())
            .await
            .expect("the drain ends");
    }
}
