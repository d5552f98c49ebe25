//! WebSocket and other upgrades.

mod support;

use doorstep_http::{Request, Service};
use support::{Origin, body, get, text, with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fn handshake() -> Request {
    let mut request = with(with(get("/ws"), "upgrade", "websocket"), "connection", "Upgrade");
    request.upgradable = true;
    with(request, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_way_ends_by_itself() {
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(head.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"), "{head}");
        assert!(head.contains("\r\nSec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{head}");
        peer.say(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\nearly ",
        )
        .await;
        let question = peer.everything().await;
        peer.say(&format!("answer to {question}")).await;
        peer.stream.shutdown().await.unwrap();
    })
    .await;
    let mut response = origin.proxy().call(handshake()).await;
    assert_eq!((response.status.as_u16(), &response.headers["x-a"]), (101, &http::HeaderValue::from(1)));
    assert_eq!(
        (&response.headers["upgrade"], &response.headers["connection"]),
        (&"WebSocket".parse().unwrap(), &"Upgrade".parse().unwrap())
    );
    let (client, mut visitor) = duplex(8);
    let copy = tokio::spawn((response.upgrade.take().unwrap())(Box::new(client)));
    visitor.write_all(b"a question").await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut heard = String::new();
    visitor.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "early answer to a question");
    copy.await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_ordinary_answer() {
    let origin = Origin::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let proxy = origin.proxy();
    for _ in 0..2 {
        let response = proxy.call(handshake()).await;
        assert!(response.status == 403 && response.upgrade.is_none());
        assert_eq!(body(response).await.unwrap(), "no");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_switch_that_was_not_offered_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, h2c\r\n\r\n",
    ] {
        let origin = Origin::saying_once(answer).await;
        assert_eq!(text(&origin.proxy(), handshake()).await.0, 502, "{answer:?}");
    }
}

#[tokio::test]
async fn http_itself_is_never_offered() {
    let origin = Origin::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(!head.contains("Upgrade") && !head.contains("Http2"), "{head}");
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let mut request = with(with(get("/"), "upgrade", "h2c"), "connection", "Upgrade, HTTP2-Settings");
    request.upgradable = true;
    assert_eq!(text(&origin.proxy(), with(request, "http2-settings", "AAMAAABkAAQAAP__")).await.0, 200);
}
