//! Whatever way an answer's bytes arrive, the visitor gets the same.

mod support;

use std::sync::{Arc, Mutex};

use doorstep_http::{NoObserver, Service};
use doorstep_model::{Proxy, Upstream};
use doorstep_net::{BoxFuture, Connect, ConnectError, Io};
use doorstep_proxy::ReverseProxy;
use proptest::prelude::*;
use support::{get, text, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Gives out one connection, made beforehand.
struct Once(Mutex<Option<DuplexStream>>);

impl Connect for Once {
    fn connect<'a>(&'a self, _: &'a Upstream) -> BoxFuture<'a, Result<Io, ConnectError>> {
        let stream = self.0.lock().unwrap().take().expect("one connection");
        Box::pin(async { Ok(Io::Other(Box::new(stream) as doorstep_net::BoxIo)) })
    }
}

fn answer(body: &[u8], framing: u8, chunk: usize) -> Vec<u8> {
    let mut wire = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nServer: x\r\n".to_vec();
    match framing {
        0 => wire.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes()),
        1 => {
            wire.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(chunk) {
                wire.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                wire.extend(piece);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\nX-Sum: 1\r\n\r\n");
            return wire;
        }
        _ => wire.extend(b"\r\n"),
    }
    wire.extend(body);
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_split(
        body in "[a-z]{0,3000}",
        framing in 0u8..3,
        chunk in 1usize..700,
        cuts in prop::collection::vec(1usize..400, 1..20),
        window in 1usize..5000,
    ) {
        let wire = answer(body.as_bytes(), framing, chunk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(async {
            let (ours, mut app) = duplex(window);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    app.read_buf(&mut head).await.unwrap();
                }
                let mut rest = &wire[..];
                for cut in cuts.iter().cycle() {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    if app.write_all(piece).await.is_err() || after.is_empty() {
                        break;
                    }
                    rest = after;
                    tokio::task::yield_now().await;
                }
            });
            let connect = Arc::new(Once(Mutex::new(Some(ours))));
            let proxy = Proxy { upstream: upstream(1), keep_host: false };
            let proxy = ReverseProxy::new(proxy, connect, Arc::new(NoObserver));
            let _: &dyn Service = &proxy;
            text(&proxy, get("/")).await
        });
        prop_assert_eq!(seen, (200, body));
    }
}
