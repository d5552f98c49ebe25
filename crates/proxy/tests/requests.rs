//! What becomes of a visitor's request body, and of requests by idle connections.

mod support;

use std::sync::atomic::Ordering;

use doorstep_http::{BodyError, Service};
use http::Method;
use support::{Origin, body, data, fed, get, post, text, with};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn bodies_of_known_length() {
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(head.contains("\r\nContent-Length: 10\r\n") && !head.contains("Transfer-Encoding"), "{head}");
        let sent = peer.exactly(10).await;
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{sent}")).await;
    })
    .await;
    assert_eq!(text(&origin.proxy(), post("0123456789")).await.1, "0123456789");
    let (feeder, stream) = fed(Some(10));
    feeder.data("01234");
    let proxy = origin.proxy();
    let (answer, ()) = tokio::join!(text(&proxy, post(stream)), async {
        tokio::task::yield_now().await;
        feeder.data("56789");
    });
    assert_eq!(answer.1, "0123456789");
}

#[tokio::test]
async fn bodies_of_unknown_length() {
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        let seen = if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
            assert!(!head.contains("Content-Length"), "{head}");
            peer.until("\r\n\r\n").await
        } else {
            assert!(head.contains("\r\nContent-Length: 5\r\n"), "{head}");
            peer.exactly(5).await
        };
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len())).await;
    })
    .await;
    let proxy = origin.proxy();
    // All of it is there already, so the app is told the length: some do not understand chunks.
    let (feeder, stream) = fed(None);
    feeder.data("he");
    feeder.data("llo");
    drop(feeder);
    assert_eq!(text(&proxy, post(stream)).await.1, "hello");
    // Only a part of it is there.
    let (feeder, stream) = fed(None);
    feeder.data("he");
    let (answer, ()) = tokio::join!(text(&proxy, post(stream)), async {
        tokio::task::yield_now().await;
        feeder.data("llo");
        feeder.trailers("x-sum", "7");
        drop(feeder);
    });
    assert_eq!(answer.1, "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 7\r\n\r\n");
}

#[tokio::test]
async fn the_upload_goes_on_while_the_answer_streams() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let chunk = peer.until("\r\n").await;
            let rest = peer.until("\r\n").await;
            peer.say(&format!("{chunk}{rest}")).await;
            if chunk == "0\r\n" {
                break;
            }
        }
    })
    .await;
    let (feeder, stream) = fed(None);
    let mut response = origin.proxy().call(post(stream)).await;
    for piece in ["one", "two", "three"] {
        feeder.data(piece);
        assert_eq!(data(&mut response.body).await, piece);
    }
    drop(feeder);
    assert_eq!(body(response).await.unwrap(), "");
}

#[tokio::test]
async fn an_early_answer_is_passed_though_the_upload_is_cut() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
    })
    .await;
    let (feeder, stream) = fed(Some(1 << 40));
    feeder.data("some");
    let (status, said) = text(&origin.proxy(), post(stream)).await;
    assert_eq!((status, said.as_str()), (413, "big"));
}

#[tokio::test]
async fn faults_of_the_client_are_its_own() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.everything().await;
    })
    .await;
    for (error, status) in [
        (BodyError::Malformed("chunk size"), 400),
        (BodyError::TooLarge(1), 413),
        (BodyError::TooSlow, 408),
        (BodyError::ClientGone, 400),
    ] {
        let (feeder, stream) = fed(Some(10));
        feeder.data("abc");
        feeder.fail(error);
        assert_eq!(text(&origin.proxy(), post(stream)).await.0, status);
    }
    for pieces in [["abc", ""], ["abcdefgh", "ijklmn"]] {
        let (feeder, stream) = fed(Some(10));
        pieces.into_iter().filter(|piece| !piece.is_empty()).for_each(|piece| feeder.data(piece));
        drop(feeder);
        assert_eq!(text(&origin.proxy(), post(stream)).await.0, 400, "a length that is not kept: {pieces:?}");
    }
}

#[tokio::test]
async fn a_held_body_waits_for_100() {
    let (feeder, stream) = fed(Some(4));
    feeder.data("body");
    let asked = feeder.asked.clone();
    let origin = Origin::start(move |_, mut peer| {
        let asked = asked.clone();
        async move {
            let head = peer.head().await.unwrap();
            assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
            assert_eq!(asked.load(Ordering::SeqCst), 0);
            peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            assert_eq!(peer.exactly(4).await, "body");
            peer.say(OK).await;
        }
    })
    .await;
    let request = with(post(stream), "expect", "100-continue");
    let interim = request.interim.clone();
    assert_eq!(text(&origin.proxy(), request).await, (200, "ok".to_owned()));
    assert!(interim.take().is_empty(), "the engine says 100 by itself when the body is read");
}

#[tokio::test]
async fn a_held_body_is_not_read_when_the_app_refuses() {
    let origin = Origin::saying("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno").await;
    let (feeder, stream) = fed(Some(4));
    feeder.data("body");
    let answer = text(&origin.proxy(), with(post(stream), "expect", "100-continue")).await;
    assert_eq!((answer.0, feeder.asked.load(Ordering::SeqCst)), (417, 0));
}

#[tokio::test]
async fn a_held_body_goes_by_itself_after_a_while() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        assert_eq!(peer.exactly(4).await, "body");
        peer.say(OK).await;
    })
    .await;
    assert_eq!(text(&origin.proxy(), with(post("body"), "expect", "100-continue")).await.0, 200);
}

#[tokio::test]
async fn connections_are_used_again() {
    let origin = Origin::saying(OK).await;
    let proxy = origin.proxy();
    for _ in 0..5 {
        assert_eq!(text(&proxy, get("/")).await.0, 200);
    }
    assert_eq!(origin.connections(), 1);
    // Another service does not get them, though it has the same upstream.
    assert_eq!(text(&origin.proxy(), get("/")).await.0, 200);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn connections_of_uncertain_state_are_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let origin = Origin::saying(answer).await;
        let proxy = origin.proxy();
        for _ in 0..2 {
            assert!(!text(&proxy, get("/")).await.1.contains("evil"), "{answer:?}");
        }
        assert_eq!(origin.connections(), 2, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_in_which_a_request_could_hide_ends_its_connection() {
    let origin = Origin::start(|_, mut peer| async move {
        // Overlooks every body, as careless apps do.
        while let Some(head) = peer.head().await {
            assert!(!head.starts_with("GET /admin"), "smuggled");
            peer.say(OK).await;
        }
    })
    .await;
    let proxy = origin.proxy();
    for _ in 0..2 {
        let mut request = post("GET /admin HTTP/1.1\r\nHost: a\r\n");
        request.method = Method::GET;
        assert_eq!(text(&proxy, request).await.0, 200);
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn idle_connections_that_were_closed_are_noticed() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
        peer.say(OK).await;
    })
    .await;
    let proxy = origin.proxy();
    for _ in 0..3 {
        // POST could not be sent again.
        assert_eq!(text(&proxy, post("")).await.0, 200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_end_an_idle_connection() {
    let origin = Origin::start(|_, mut peer| async move {
        while peer.head().await.is_some() {
            peer.say(OK).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
        }
    })
    .await;
    let proxy = origin.proxy();
    for number in 0..4 {
        let request = if number % 2 == 0 { get("/") } else { post("") };
        assert_eq!(text(&proxy, request).await.1, "ok");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(origin.connections(), 4);
}

/// The first connection answers once, and closes when the next request arrives.
async fn fickle() -> Origin {
    Origin::start(|number, mut peer| async move {
        while peer.head().await.is_some() {
            peer.say(OK).await;
            if number == 0 {
                peer.head().await;
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn requests_are_sent_again_only_where_that_is_safe() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
        let origin = fickle().await;
        let proxy = origin.proxy();
        assert_eq!(text(&proxy, get("/")).await.0, 200);
        let mut request = get("/");
        request.method = method.clone();
        assert_eq!(proxy.call(request).await.status, 200, "{method}");
        assert_eq!(origin.connections(), 2, "{method}");
    }
    for method in [Method::POST, Method::PATCH] {
        let origin = fickle().await;
        let proxy = origin.proxy();
        assert_eq!(text(&proxy, get("/")).await.0, 200);
        let mut request = get("/");
        request.method = method.clone();
        assert_eq!(proxy.call(request).await.status, 502, "{method}");
        assert_eq!(origin.connections(), 1, "{method}");
    }
}

#[tokio::test]
async fn a_body_in_memory_is_sent_again_and_a_stream_is_not() {
    let origin = fickle().await;
    let proxy = origin.proxy();
    assert_eq!(text(&proxy, get("/")).await.0, 200);
    let mut request = post("");
    (request.method, request.body) = (Method::PUT, "body".into());
    assert_eq!(text(&proxy, request).await.0, 200);

    let origin = fickle().await;
    let proxy = origin.proxy();
    assert_eq!(text(&proxy, get("/")).await.0, 200);
    let (feeder, stream) = fed(Some(4));
    feeder.data("body");
    let mut request = post(stream);
    request.method = Method::PUT;
    assert_eq!(text(&proxy, request).await.0, 502);
}

#[tokio::test]
async fn a_fresh_connection_that_closes_is_not_tried_again() {
    let origin = Origin::start(|_, mut peer| async move {
        peer.head().await;
    })
    .await;
    assert_eq!(text(&origin.proxy(), get("/")).await.0, 502);
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        let forwarded = head.lines().find_map(|line| line.strip_prefix("Forwarded: ")).unwrap();
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{forwarded}", forwarded.len())).await;
    })
    .await;
    let proxy = origin.proxy();
    let (_, forwarded) = text(&proxy, get("/")).await;
    let mut request = get("/");
    request.headers.insert("forwarded", forwarded.parse().unwrap());
    assert_eq!(text(&proxy, request).await.0, 508);
    assert_eq!(text(&proxy, with(get("/"), "forwarded", "by=_doorstep0;for=1.2.3.4")).await.0, 200);
}
