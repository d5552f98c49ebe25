//! A real engine on a loopback port, for tests that speak raw bytes to it.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorstep_http::limits::Limits;
use doorstep_http::{BoxFuture, Engine, Exchange, Observer, Request, Response, RouteTable, Service, SiteRoutes};
use doorstep_model::{HostPolicy, Matcher};
use doorstep_net::{Accepting, DrainControl, ListenerGroup, Quota, accept_loop};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A service made of a function.
pub struct Answer<F>(pub F);

impl<F, R> Service for Answer<F>
where
    F: Fn(Request) -> R + Send + Sync,
    R: Future<Output = Response> + Send + 'static,
{
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        Box::pin((self.0)(request))
    }
}

#[derive(Default)]
pub struct Seen(pub Mutex<Vec<Exchange>>);

impl Observer for Seen {
    fn finished(&self, exchange: Exchange) {
        self.0.lock().push(exchange);
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub drain: DrainControl,
    pub seen: Arc<Seen>,
}

/// Serves `service` under every host name, with `limits`, in the test's own runtime.
pub fn serve(service: impl Service + 'static, limits: Limits) -> Server {
    let mut routes = RouteTable::default();
    let site = SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), Arc::new(service) as Arc<dyn Service>)]);
    routes.add_site(site).expect("a matcher that matches all");
    serve_table(routes, limits)
}

/// Serves `routes`.
pub fn serve_table(routes: RouteTable, limits: Limits) -> Server {
    let group = ListenerGroup::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).expect("a loopback port");
    let socket = group.sockets.into_iter().next().expect("a socket for the one worker");
    serve_on(socket, routes, limits)
}

/// Serves `routes` on a socket that others may serve too.
pub fn serve_on(socket: std::net::TcpListener, routes: RouteTable, limits: Limits) -> Server {
    let seen = Arc::new(Seen::default());
    let engine = Engine::new(routes, seen.clone(), limits);
    let address = socket.local_addr().expect("an address");
    let (drain, watch) = DrainControl::new();
    let listener = TcpListener::from_std(socket).expect("a listener");
    tokio::spawn(accept_loop(listener, Accepting::new(Arc::new(engine), Quota::new(10_000)), watch));
    Server { address, drain, seen }
}

/// Short bounds, so that tests of them do not take long.
pub fn short_limits() -> Limits {
    Limits {
        first_byte: Duration::from_millis(300),
        head: Duration::from_millis(300),
        keep_alive: Duration::from_millis(300),
        body_window: Duration::from_millis(300),
        body_min_rate: 256,
        write_stall: Duration::from_millis(300),
    }
}

impl Server {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends `bytes` on a new connection and gives all that comes back until the server closes or `quiet` passes in silence.
    pub async fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("the request is sent");
        read_until_quiet(&mut stream).await.0
    }
}

/// Whatever comes until the server closes (`true`) or is quiet for a while.
pub async fn read_until_quiet(stream: &mut TcpStream) -> (String, bool) {
    let mut all = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match tokio::time::timeout(Duration::from_millis(250), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return (String::from_utf8_lossy(&all).into_owned(), true),
            Ok(Ok(read)) => all.extend_from_slice(&buffer[..read]),
            Err(_) => return (String::from_utf8_lossy(&all).into_owned(), false),
        }
    }
}

/// Reads exactly one response with a Content-Length.
pub async fn read_response(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.expect("a response head");
        all.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&all).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a response body");
    head + &String::from_utf8_lossy(&body)
}
