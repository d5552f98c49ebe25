//! Small origins made of raw TCP, and a visitor that calls the service directly.
#![allow(dead_code)]

pub mod members;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use doorstep_http::{Body, BodyError, Exchange, Observer, Request, Response, Service};
use doorstep_model::{Finding, Proxy, Upstream, UpstreamAddr, UpstreamProtocol};
use doorstep_net::Connector;
use doorstep_proxy::ReverseProxy;
use http::{HeaderMap, HeaderValue, Method};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A listener whose connections are each given to a script, numbered from 0.
pub struct Origin {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
}

impl Origin {
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Peer) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Peer { stream, buffer: Vec::new() }));
            }
        });
        Self { port, connections }
    }

    /// Answers every request without a body by the same bytes, on as many connections as come.
    pub async fn saying(answer: &'static str) -> Self {
        Self::start(move |_, mut peer| async move {
            while peer.head().await.is_some() {
                peer.say(answer).await;
            }
        })
        .await
    }

    /// Answers one request by these bytes and closes.
    pub async fn saying_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |_, mut peer| {
            let answer = answer.clone();
            async move {
                peer.head().await;
                let _ = peer.stream.write_all(&answer).await;
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn proxy(&self) -> ReverseProxy {
        proxy(self.port, Arc::new(doorstep_http::NoObserver))
    }
}

pub fn upstream(port: u16) -> Upstream {
    Upstream {
        addr: UpstreamAddr::Tcp { host: "127.0.0.1".to_owned(), port },
        tls: false,
        insecure: false,
        authority: format!("localhost:{port}"),
        base_path: String::new(),
        protocol: UpstreamProtocol::Http1,
        server_name: None,
        roots: None,
    }
}

pub fn proxy(port: u16, observer: Arc<dyn Observer>) -> ReverseProxy {
    let proxy = Proxy { upstream: upstream(port), keep_host: false };
    ReverseProxy::new(proxy, Arc::new(Connector::new()), observer)
}

/// The app's end of a connection.
pub struct Peer {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    /// A request's head, empty line included; `None` at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            self.more().await?;
        }
    }

    pub async fn exactly(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            self.more().await.expect("more bytes");
        }
        String::from_utf8(self.buffer.drain(..length).collect()).unwrap()
    }

    pub async fn exactly_one(&mut self) -> u8 {
        while self.buffer.is_empty() {
            self.more().await.expect("another byte");
        }
        self.buffer.remove(0)
    }

    /// What comes up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|part| part == end.as_bytes()) {
                return self.exactly(at + end.len()).await;
            }
            self.more().await.expect("more bytes");
        }
    }

    pub async fn everything(&mut self) -> String {
        while self.more().await.is_some() {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    pub async fn say(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    async fn more(&mut self) -> Option<()> {
        let got = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        (got > 0).then_some(())
    }
}

pub fn get(target: &str) -> Request {
    let mut request = Request::get(target);
    request.authority = "my-laptop.local:8080".to_owned();
    request
}

pub fn post(body: impl Into<Body>) -> Request {
    let mut request = get("/");
    request.method = Method::POST;
    request.body = body.into();
    request
}

pub fn with(mut request: Request, name: &'static str, value: &'static str) -> Request {
    request.headers.append(name, HeaderValue::from_static(value));
    request
}

/// Status and body of an answer.
pub async fn text(proxy: &ReverseProxy, request: Request) -> (u16, String) {
    let response = proxy.call(request).await;
    (response.status.as_u16(), body(response).await.unwrap())
}

pub async fn body(response: Response) -> Result<String, BodyError> {
    let bytes = response.body.collect(1 << 26).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The next frame of a body.
pub async fn frame(body: &mut Body) -> Option<Result<Frame<Bytes>, BodyError>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

pub async fn data(body: &mut Body) -> String {
    let bytes = frame(body).await.expect("a frame").expect("no error").into_data().expect("data");
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A request body that a test feeds piece by piece, and that counts how often it was asked.
pub struct Fed {
    receiver: mpsc::UnboundedReceiver<Result<Frame<Bytes>, BodyError>>,
    asked: Arc<AtomicUsize>,
    length: Option<u64>,
}

pub struct Feeder {
    sender: mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>,
    pub asked: Arc<AtomicUsize>,
}

pub fn fed(length: Option<u64>) -> (Feeder, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let body = Body::stream(Fed { receiver, asked: asked.clone(), length });
    (Feeder { sender, asked }, body)
}

impl Feeder {
    pub fn data(&self, text: &'static str) {
        let _ = self.sender.send(Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    }

    pub fn trailers(&self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, HeaderValue::from_static(value));
        let _ = self.sender.send(Ok(Frame::trailers(trailers)));
    }

    pub fn fail(&self, error: BodyError) {
        let _ = self.sender.send(Err(error));
    }
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.receiver.poll_recv(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// Remembers what was found.
#[derive(Default)]
pub struct Findings(pub Mutex<Vec<Finding>>);

impl Observer for Findings {
    fn finished(&self, _: Exchange) {}

    fn found(&self, finding: Finding) {
        self.0.lock().unwrap().push(finding);
    }
}

impl Findings {
    pub fn ids(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(|finding| finding.id).collect()
    }
}
