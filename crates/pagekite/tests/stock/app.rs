//! An app, and the visitors' side of talking to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use doorstep_net::{BoxFuture, Conn, Drain, Handler, Io};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Content that compresses somewhat.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * at) >> 7) as u8).collect()
}

/// Serves on a port of its own: see [`serve`].
pub async fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(Io::Tcp(socket)));
        }
    });
    port
}

/// `GET /N` is answered with N bytes, `POST` with what was sent, `GET /peer` with the request's head, an upgrade with
/// an echo. What is no HTTP is read to its end and sent back, with `all of it: ` in front.
pub async fn serve(mut io: Io) {
    let mut seen = Vec::new();
    let head_end = loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if io.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            let _ = io.write_all(&[b"all of it: ", &seen[..]].concat()).await;
            let _ = io.shutdown().await;
            return;
        }
    };
    let head = String::from_utf8_lossy(&seen[..head_end]).into_owned();
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    if field("Upgrade").is_some() {
        let _ = io
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .await;
        let _ = io.write_all(&seen[head_end..]).await;
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read) = io.read(&mut buffer).await {
            if read == 0 || io.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        let _ = io.shutdown().await;
        return;
    }
    let length: usize = field("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while seen.len() < head_end + length {
        if io.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let answer = match path.parse() {
        Ok(length) => content(length),
        Err(_) if path == "peer" => head.clone().into_bytes(),
        Err(_) => seen[head_end..].to_vec(),
    };
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
    let _ = io.write_all(head.as_bytes()).await;
    let _ = io.write_all(&answer).await;
    let _ = io.shutdown().await;
    // What was not read would turn the end into a reset.
    let _ = io.read_to_end(&mut Vec::new()).await;
}

/// The same app as an engine of our own, which remembers who came.
#[derive(Clone, Default)]
pub struct Engine {
    pub visitors: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Handler for Engine {
    fn handle(&self, conn: Conn, _: Drain) -> BoxFuture<'_, ()> {
        self.visitors.lock().unwrap().push(conn.info.peer);
        assert!(!conn.info.relayed);
        Box::pin(serve(conn.io))
    }
}

pub fn get(domain: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {domain}\r\n\r\n").into_bytes()
}

pub fn post(domain: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: {domain}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub fn connect(domain: &str, port: u16) -> Vec<u8> {
    format!("CONNECT {domain}:{port} HTTP/1.1\r\nHost: {domain}:{port}\r\n\r\n").into_bytes()
}

/// Everything that a visitor gets who says this. The connection may end with a reset once all was said.
pub async fn exchange(port: u16, request: Vec<u8>) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&request).await;
        write
    });
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes) = read.read(&mut buffer).await {
        if bytes == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..bytes]);
    }
    drop(writing.await);
    answer
}

/// The body of an answer that went well.
pub fn body(answer: &[u8]) -> &[u8] {
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..answer.len().min(400)]));
    let start = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    &answer[start..]
}

/// Reads until what came ends so.
pub async fn read_until(socket: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        let read = socket.read_buf(&mut seen).await.unwrap();
        assert!(read > 0, "ended after {:?}", String::from_utf8_lossy(&seen));
    }
    seen
}
