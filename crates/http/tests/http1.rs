//! The HTTP/1 server as clients see it: bytes in, bytes out.

mod support;

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorstep_http::body::FileRange;
use doorstep_http::limits::Limits;
use doorstep_http::{Body, BodyError, Outcome, Response};
use doorstep_net::Patience;
use futures_util::{StreamExt, stream};
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use support::{Answer, read_response, read_until_quiet, serve, short_limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn echo() -> impl doorstep_http::Service {
    Answer(|mut request: doorstep_http::Request| async move {
        match request.body.take().collect(1 << 20).await {
            Ok(body) => Response::text(StatusCode::OK, format!("{} {}", request.path, String::from_utf8_lossy(&body))),
            Err(error) => Response::text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    })
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = serve(echo(), Limits::default());
    let mut stream = server.connect().await;
    for index in 0..3 {
        let request = format!("POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_response(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&format!("/{index} hi")), "{answer}");
    }
    assert_eq!(server.seen.0.lock().len(), 3);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = serve(echo(), Limits::default());
    let one = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = server.ask(one.repeat(50).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 50);
    assert_eq!(answer.matches("/x abc").count(), 50);
}

#[tokio::test]
async fn a_streamed_body_is_chunked_and_keeps_its_trailers() {
    let server = serve(
        Answer(|_| async {
            let frames = [Ok(Frame::data(Bytes::from_static(b"hello"))), Ok(Frame::data(Bytes::from_static(b" you")))];
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("9"));
            let frames = stream::iter(frames.into_iter().chain([Ok::<_, BodyError>(Frame::trailers(trailers))]));
            Response::new(StatusCode::OK).with_body(Body::stream(StreamBody::new(frames)))
        }),
        Limits::default(),
    );
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\nX-Sum: 9\r\n\r\n"), "{answer}");
    let old = server.ask(b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.contains("Connection: close\r\n") && old.ends_with("\r\n\r\nhello you"), "{old}");
}

#[tokio::test]
async fn what_is_ready_goes_out_before_we_wait() {
    let server = serve(
        Answer(|_| async {
            let first = stream::iter([Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"data: 1\n\n")))]);
            let frames = first.chain(stream::pending());
            Response::new(StatusCode::OK).with_body(Body::stream(StreamBody::new(frames)))
        }),
        Limits::default(),
    );
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("data: 1"), "{answer}");
}

#[tokio::test]
async fn a_file_is_sent_whole_and_a_shrunken_one_breaks_off() {
    let mut file = tempfile::tempfile().unwrap();
    let content = vec![b'x'; 3_000_000];
    file.write_all(&content).unwrap();
    let file = Arc::new(file);
    let server = serve(
        Answer(move |request: doorstep_http::Request| {
            let file = file.clone();
            async move {
                let len = if request.path == "/long" { 3_000_001 } else { 3_000_000 };
                Response::new(StatusCode::OK).with_body(Body::File(FileRange { file, offset: 0, len }))
            }
        }),
        Limits::default(),
    );
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Length: 3000000"), "{head}");
    assert_eq!(body.len(), content.len());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (_, closed) = read_until_quiet(&mut stream).await;
    assert!(closed);
    let outcomes: Vec<Outcome> = server.seen.0.lock().iter().map(|exchange| exchange.outcome).collect();
    assert_eq!(outcomes, [Outcome::Complete, Outcome::Broken]);
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let server = serve(echo(), Limits::default());
    let answer = server.ask(b"HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("Content-Length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_wanted() {
    let server = serve(echo(), Limits::default());
    let mut stream = server.connect().await;
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut buffer = [0; 25];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    assert!(read_response(&mut stream).await.ends_with("/ ok"));

    let refusing = serve(Answer(|_| async { Response::new(StatusCode::FORBIDDEN) }), Limits::default());
    let answer = refusing.ask(head).await;
    assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn early_hints_go_ahead() {
    let server = serve(
        Answer(|request: doorstep_http::Request| async move {
            let mut hints = HeaderMap::new();
            hints.insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
            request.interim.send(StatusCode::EARLY_HINTS, hints);
            tokio::task::yield_now().await;
            Response::text(StatusCode::OK, "done")
        }),
        Limits::default(),
    );
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 103 Early Hints\r\nLink: "), "{answer}");
    assert!(answer.contains("\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_closed_its_side_still_gets_the_last_answer() {
    let server = serve(
        Answer(|_| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Response::text(StatusCode::OK, "late")
        }),
        Limits::default(),
    );
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(read_until_quiet(&mut stream).await.0.ends_with("late"));
}

#[tokio::test]
async fn a_client_that_left_cancels_its_request() {
    let (sender, mut dropped) = tokio::sync::mpsc::channel::<Infallible>(1);
    let server = serve(
        Answer(move |_| {
            let held = sender.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Response::new(StatusCode::OK)
            }
        }),
        Limits::default(),
    );
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    drop(stream);
    let gone = async {
        while server.seen.0.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the request is given up");
    assert_eq!(server.seen.0.lock()[0].outcome, Outcome::ClientGone);
    assert!(dropped.try_recv().is_err());
}

#[tokio::test]
async fn an_upgrade_hands_over_the_bytes() {
    let server = serve(
        Answer(|request: doorstep_http::Request| async move {
            assert!(request.upgradable);
            let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS);
            response.headers.insert("upgrade", HeaderValue::from_static("echo"));
            response.headers.insert("connection", HeaderValue::from_static("upgrade"));
            response.upgrade = Some(Box::new(|mut io| {
                Box::pin(async move {
                    let mut buffer = [0; 64];
                    while let Ok(read) = io.read(&mut buffer).await {
                        if read == 0 || io.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                })
            }));
            response
        }),
        Limits::default(),
    );
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly").await.unwrap();
    let (answer, _) = read_until_quiet(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && answer.ends_with("early"), "{answer}");
    stream.write_all(b"later").await.unwrap();
    assert_eq!(read_until_quiet(&mut stream).await.0, "later");
}

#[tokio::test]
async fn what_cannot_become_http_is_refused_at_its_first_byte() {
    let server = serve(echo(), Limits::default());
    for (bytes, reason) in [(&b"\x16\x03\x01\x02\x00"[..], "TLS"), (&b"\x00"[..], "not HTTP")] {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        let (answer, closed) = read_until_quiet(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(reason) && closed, "{answer}");
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_everything_first() {
    let server = serve(Answer(|_| async { Response::text(StatusCode::PAYLOAD_TOO_LARGE, "no") }), Limits::default());
    let mut stream = server.connect().await;
    let body = vec![b'x'; 20_000_000];
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n").await.unwrap();
    stream.write_all(&body).await.unwrap();
    let answer = read_until_quiet(&mut stream).await.0;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn silence_and_slowness_have_an_end() {
    let server = serve(echo(), short_limits());
    let mut silent = server.connect().await;
    let mut slow_head = server.connect().await;
    slow_head.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut slow_body = server.connect().await;
    slow_body.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na").await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(read_until_quiet(&mut silent).await, (String::new(), true));
    let (answer, closed) = read_until_quiet(&mut slow_head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && closed, "{answer}");
    let (answer, closed) = read_until_quiet(&mut slow_body).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && closed, "{answer}");
}

#[tokio::test]
async fn a_drain_closes_idle_connections_and_finishes_busy_ones() {
    let server = serve(
        Answer(|request: doorstep_http::Request| async move {
            if request.method == Method::POST {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Response::text(StatusCode::OK, "done")
        }),
        Limits::default(),
    );
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_response(&mut idle).await;
    let mut busy = server.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.drain.start(Patience::Now);
    assert_eq!(read_until_quiet(&mut idle).await, (String::new(), true));
    let answer = read_response(&mut busy).await;
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("done"), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), server.drain.finished()).await.expect("the drain ends");
}

#[tokio::test]
async fn a_gentle_drain_closes_no_idle_connection_under_its_client() {
    let server = serve(echo(), Limits::default());
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_response(&mut idle).await;
    let mut fresh = server.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.drain.start(Patience::Gentle);
    assert_eq!(read_until_quiet(&mut idle).await, (String::new(), false));
    for stream in [&mut idle, &mut fresh] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let (answer, closed) = read_until_quiet(stream).await;
        assert!(answer.contains("Connection: close\r\n") && closed, "{answer}");
    }
    tokio::time::timeout(Duration::from_secs(10), server.drain.finished()).await.expect("the drain ends");
}

#[tokio::test]
async fn a_gentle_drain_can_be_hurried() {
    let server = serve(echo(), Limits::default());
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_response(&mut idle).await;
    server.drain.start(Patience::Gentle);
    assert_eq!(read_until_quiet(&mut idle).await, (String::new(), false));
    server.drain.start(Patience::Now);
    assert_eq!(read_until_quiet(&mut idle).await, (String::new(), true));
}

#[tokio::test]
async fn who_asks_to_keep_a_connection_is_told_for_how_long() {
    let server = serve(echo(), Limits::default());
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(answer.contains("\r\nKeep-Alive: timeout=70\r\n"), "{answer}");
    let answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("Keep-Alive"), "{answer}");
}

#[tokio::test]
async fn an_upgraded_connection_outlives_a_drain() {
    let server = serve(
        Answer(|_| async move {
            let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS);
            response.upgrade = Some(Box::new(|mut io| {
                Box::pin(async move {
                    let mut word = [0; 4];
                    while io.read_exact(&mut word).await.is_ok() {
                        io.write_all(&word).await.unwrap();
                    }
                })
            }));
            response
        }),
        Limits::default(),
    );
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await.unwrap();
    assert!(read_until_quiet(&mut stream).await.0.starts_with("HTTP/1.1 101 "));
    for patience in [Patience::Gentle, Patience::Now] {
        server.drain.start(patience);
        stream.write_all(b"ping").await.unwrap();
        assert_eq!(read_until_quiet(&mut stream).await, ("ping".to_owned(), false));
    }
    drop(stream);
    tokio::time::timeout(Duration::from_secs(10), server.drain.finished()).await.expect("the drain ends");
}
