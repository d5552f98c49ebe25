//! What becomes of an app's answers: framing, interim responses, trailers, and everything malformed.

mod support;

use std::sync::Arc;

use doorstep_http::{BodyError, Kind, Service};
use http::{Method, StatusCode};
use support::{Origin, body, data, frame, get, post, text};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn an_ordinary_answer() {
    let origin = Origin::saying("HTTP/1.1 203 Whatever\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello").await;
    let response = origin.proxy().call(get("/")).await;
    assert_eq!((response.status.as_u16(), response.kind), (203, Kind::Proxied));
    assert_eq!(response.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert!(!response.headers.contains_key("content-length"));
    assert_eq!(body(response).await.unwrap(), "hello");
}

#[tokio::test]
async fn the_last_byte_may_take_its_time() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n" {
            peer.stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut response = origin.proxy().call(get("/")).await;
    let mut seen = String::new();
    let trailers = loop {
        match frame(&mut response.body).await.unwrap().unwrap().into_data() {
            Ok(data) => seen.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => break frame.into_trailers().unwrap(),
        }
    };
    assert_eq!((seen.as_str(), trailers["x-sum"].to_str().unwrap()), ("hello", "7"));
}

#[tokio::test]
async fn until_close() {
    let origin = Origin::saying_once("HTTP/1.0 200 OK\r\n\r\nall there is").await;
    assert_eq!(text(&origin.proxy(), get("/")).await, (200, "all there is".to_owned()));
}

#[tokio::test]
async fn answers_without_a_body() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let proxy = origin.proxy();
    for _ in 0..2 {
        let mut request = get("/");
        request.method = Method::HEAD;
        let response = proxy.call(request).await;
        assert_eq!(response.headers["content-length"], "5");
        assert_eq!(body(response).await.unwrap(), "");
    }
    assert_eq!(origin.connections(), 1);
    for head in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"] {
        let origin = Origin::saying(head).await;
        let proxy = origin.proxy();
        for _ in 0..2 {
            assert_eq!(text(&proxy, get("/")).await.1, "", "{head}");
        }
        assert_eq!(origin.connections(), 1, "{head}");
    }
}

#[tokio::test]
async fn interim_answers_pass_and_101_does_not() {
    let origin = Origin::saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let request = get("/");
    let interim = request.interim.clone();
    assert_eq!(text(&origin.proxy(), request).await, (200, "ok".to_owned()));
    let passed = interim.take();
    assert_eq!(passed.iter().map(|(status, _)| status.as_u16()).collect::<Vec<_>>(), [103, 102]);
    assert_eq!(passed[0].1["link"], "</a.css>; rel=preload");

    let origin = Origin::saying_once("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(text(&origin.proxy(), get("/")).await.0, 502);
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    let origin = Origin::saying_once(endless).await;
    assert_eq!(text(&origin.proxy(), get("/")).await.0, 502);
}

#[tokio::test]
async fn malformed_answers_are_502() {
    let table: &[&str] = &[
        "",
        "\r\n\r\n",
        "hello",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\na",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
    ];
    for answer in table {
        let origin = Origin::saying_once(*answer).await;
        let (status, said) = text(&origin.proxy(), get("/")).await;
        assert_eq!(status, 502, "{answer:?}");
        assert!(said.contains(&format!("127.0.0.1:{}", origin.port)), "{answer:?}: {said}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(200_000));
    assert_eq!(text(&Origin::saying_once(endless).await.proxy(), get("/")).await.0, 502);
}

#[tokio::test]
async fn bodies_that_break_off_are_errors() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\nhalf\n0\n\n",
    ] {
        let origin = Origin::saying_once(answer).await;
        let response = origin.proxy().call(get("/")).await;
        assert_eq!(response.status, StatusCode::OK, "{answer:?}");
        let error = body(response).await.expect_err(answer);
        assert!(matches!(error, BodyError::Upstream(_)), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let told = Arc::new(tokio::sync::Mutex::new(async move || told.recv().await));
    let origin = Origin::start(move |_, mut peer| {
        let told = told.clone();
        async move {
            peer.head().await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            while let Some(event) = (told.lock().await)().await {
                peer.say(event).await;
            }
        }
    })
    .await;
    let mut response = origin.proxy().call(get("/")).await;
    for event in ["data: one\n\n", "data: two\n\n"] {
        tell.send(event).unwrap();
        assert_eq!(data(&mut response.body).await, event);
    }
    drop(tell);
    assert!(frame(&mut response.body).await.is_none());
}

#[tokio::test]
async fn large_bodies_of_each_framing() {
    let megabytes = "0123456789abcdef".repeat(3 << 16);
    let chunked: String = megabytes
        .as_bytes()
        .chunks(100_000)
        .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
        .collect();
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{megabytes}", megabytes.len()),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n\r\n{megabytes}"),
    ] {
        let origin = Origin::saying_once(answer).await;
        let (status, seen) = text(&origin.proxy(), get("/")).await;
        assert!(status == 200 && seen == megabytes);
    }
}

#[tokio::test]
async fn hop_by_hop_fields_stay_behind() {
    let origin = Origin::saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: 1\r\n\r\n",
    )
    .await;
    let response = origin.proxy().call(get("/")).await;
    assert_eq!(response.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
}

#[tokio::test]
async fn addresses_are_translated_unless_the_host_is_kept() {
    let origin = Origin::start(|_, mut peer| async move {
        while let Some(head) = peer.head().await {
            let host = head.split("Host: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
            let length = host.len();
            peer.say(&format!(
                "HTTP/1.1 302 Found\r\nLocation: http://localhost:{}/next\r\nSet-Cookie: a=1; Domain=localhost\r\n\
                 Content-Length: {length}\r\n\r\n{host}",
                peer.stream.local_addr().unwrap().port()
            ))
            .await;
        }
    })
    .await;
    let response = origin.proxy().call(get("/")).await;
    assert_eq!(response.headers["location"], "http://my-laptop.local:8080/next");
    assert_eq!(response.headers["set-cookie"], "a=1");
    assert_eq!(body(response).await.unwrap(), format!("localhost:{}", origin.port));

    let kept = doorstep_model::Proxy { upstream: support::upstream(origin.port), keep_host: true };
    let connect = Arc::new(doorstep_net::Connector::new());
    let kept = doorstep_proxy::ReverseProxy::new(kept, connect, Arc::new(doorstep_http::NoObserver));
    let response = kept.call(post("")).await;
    assert_eq!(response.headers["location"], format!("http://localhost:{}/next", origin.port).as_str());
    assert_eq!(response.headers["set-cookie"], "a=1; Domain=localhost");
    assert_eq!(body(response).await.unwrap(), "my-laptop.local:8080");
}
