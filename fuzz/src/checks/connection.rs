use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use doorstep_http::limits::Limits;
use doorstep_http::{BoxFuture, Engine, NoObserver, Request, Response, RouteTable, Service, SiteRoutes};
use doorstep_model::{HostPolicy, Matcher};
use doorstep_net::{Conn, ConnInfo, DrainControl, Handler, Io};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::split_off_byte;

/// The bytes are all that a client sends on a connection, in packets of the first byte's size. Whatever they are, the
/// server comes to an end, and what it sent is a sequence of whole answers.
pub fn check(data: &[u8]) {
    let Some((size, wire)) = split_off_byte(data) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let answers = runtime.block_on(converse(wire, size.max(1)));
    if !wire.starts_with(b"PRI") {
        whole_answers(&answers);
    }
}

async fn converse(wire: &[u8], packet: usize) -> Vec<u8> {
    static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
        let mut routes = RouteTable::default();
        let site = SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), Arc::new(Echo) as Arc<dyn Service>)]);
        routes.add_site(site).expect("a matcher that matches all");
        Engine::new(routes, Arc::new(NoObserver), Limits::default())
    });
    let (client, server) = tokio::io::duplex(1 << 20);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let info = ConnInfo { peer: nobody, local: nobody, tls: None, relayed: false, accepted: Instant::now() };
    let (_control, drain) = DrainControl::new();
    let serves = ENGINE.handle(Conn { io: Io::Other(Box::new(server)), info: Arc::new(info) }, drain);
    let (mut read, mut write) = tokio::io::split(client);
    let sends = async {
        for packet in wire.chunks(packet) {
            if write.write_all(packet).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = write.shutdown().await;
    };
    let mut answers = Vec::new();
    let reads = async {
        let _ = read.read_to_end(&mut answers).await;
    };
    let all = async { tokio::join!(serves, sends, reads) };
    tokio::time::timeout(Duration::from_secs(5), all).await.expect("the connection ends");
    answers
}

struct Echo;

impl Service for Echo {
    fn call<'a>(&'a self, mut request: Request) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            assert!(request.path.starts_with('/') && !request.path.contains("/../"));
            match request.body.take().collect(1 << 20).await {
                Ok(body) => Response::new(StatusCode::OK).with_body(body),
                Err(error) => Response::text(StatusCode::BAD_REQUEST, error.to_string()),
            }
        })
    }
}

fn whole_answers(mut answers: &[u8]) {
    while !answers.is_empty() {
        assert!(answers.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(answers));
        let end = answers.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let head = std::str::from_utf8(&answers[..end]).expect("a head of text");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        // The answer to HEAD has a length and no body: then the next answer, or nothing, follows at once.
        let after = &answers[end..];
        let is_head = length > 0 && (after.is_empty() || after.starts_with(b"HTTP/1."));
        answers = if is_head { after } else { after.get(length..).expect("a whole body") };
    }
}
