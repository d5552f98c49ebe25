//! The PROXY protocol on the way in.

use std::net::SocketAddr;
use std::sync::Arc;

use doorstep_net::{Accepting, BoxFuture, Conn, Drain, DrainControl, Handler, Quota, accept_loop};
use doorstep_proto::proxy_header::{write_v1, write_v2};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers who the client is, and the first five bytes that it sent.
struct Echo;

impl Handler for Echo {
    fn handle(&self, mut conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut first = [0; 5];
            let _ = conn.io.read_exact(&mut first).await;
            let answer = format!("{} {}", conn.info.peer.ip(), String::from_utf8_lossy(&first));
            let _ = conn.io.write_all(answer.as_bytes()).await;
        })
    }
}

struct Listener {
    address: SocketAddr,
    quota: Arc<Quota>,
    _control: DrainControl,
}

async fn listen(trusted: &str) -> Listener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, drain) = DrainControl::new();
    let quota = Quota::new(4000);
    let accepting = Accepting {
        tls: None,
        proxy_from: Arc::new([trusted.parse().unwrap()]),
        quota: quota.clone(),
        handler: Arc::new(Echo),
    };
    tokio::spawn(accept_loop(listener, accepting, drain));
    Listener { address, quota, _control: control }
}

async fn say(to: SocketAddr, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for part in parts {
        let _ = stream.write_all(part).await;
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let listener = listen("127.0.0.0/8").await;
    let (from, to) = ("192.0.2.7:4711".parse().unwrap(), "192.0.2.1:443".parse().unwrap());
    for write in [write_v1, write_v2] {
        let mut header = Vec::new();
        write(&mut header, from, to);
        let whole = [&header[..], b"hello"].concat();
        assert_eq!(say(listener.address, &[&whole]).await, "192.0.2.7 hello");
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(say(listener.address, &bytes).await, "192.0.2.7 hello");
    }
    assert_eq!(say(listener.address, &[b"PROXY UNKNOWN\r\nhello"]).await, "127.0.0.1 hello");
}

#[tokio::test]
async fn a_trusted_proxy_that_names_nobody_is_refused() {
    let listener = listen("127.0.0.0/8").await;
    for bytes in [&b"hello"[..], b"PROXY nonsense\r\nhello", b"PROX"] {
        let mut stream = TcpStream::connect(listener.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert_eq!(answer, "");
    }
    while listener.quota.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_else_names_a_client() {
    let listener = listen("192.0.2.0/24").await;
    assert_eq!(say(listener.address, &[b"PROXY"]).await, "127.0.0.1 PROXY");
}
