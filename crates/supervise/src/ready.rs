use std::io;
use std::time::Duration;

use doorstep_model::Readiness;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::journal::Addr;
use crate::{limits, run_dir};

/// Returns when an instance accepts connections and, where a path is given, answers it with 2xx or 3xx. Whoever waits knows how long.
/// `uid` owns the socket.
pub(crate) async fn until_ready(addr: Addr, ready: Readiness, uid: u32) {
    if addr == Addr::Nowhere {
        return sleep(limits::READY_ALONE).await;
    }
    let mut wait = limits::READY_FIRST;
    while !matches!(timeout(limits::READY_ANSWER, look(&addr, ready.path.as_deref(), uid)).await, Ok(Ok(true))) {
        sleep(wait).await;
        wait = (wait * 2).min(limits::READY_MOST);
    }
    // Some servers listen a moment before they fail for good, such as at a port that another program has.
    sleep(Duration::from_millis(1)).await;
}

async fn look(addr: &Addr, path: Option<&str>, uid: u32) -> io::Result<bool> {
    match addr {
        Addr::Socket(socket) => {
            run_dir::open_socket(socket, uid)?;
            answers(UnixStream::connect(socket).await?, path).await
        }
        Addr::Port(port) => answers(TcpStream::connect(("127.0.0.1", *port)).await?, path).await,
        Addr::Nowhere => Ok(true),
    }
}

async fn answers(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: Option<&str>) -> io::Result<bool> {
    let Some(path) = path else { return Ok(true) };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: doorstep\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    loop {
        let mut chunk = [0u8; 512];
        let count = stream.read(&mut chunk).await?;
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        match status(&head) {
            Some(status) => return Ok((200..400).contains(&status)),
            None if count == 0 || head.len() > limits::READY_HEAD => return Ok(false),
            None => {}
        }
    }
}

/// The status code of a response's first line that is not 1xx (RFC 9110 section 15.2), if it is there already.
fn status(head: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(head);
    let mut rest = text.as_ref();
    loop {
        let (line, after) = rest.split_once("\r\n")?;
        let code = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        if code >= 200 {
            return Some(code);
        }
        rest = after.split_once("\r\n\r\n").map(|(_, rest)| rest).or_else(|| after.strip_prefix("\r\n"))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.0 503 x\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 x\r\n"), Some(500));
        assert_eq!(status(b"SSH-2.0-x\r\n"), None);
    }

    #[tokio::test]
    async fn only_a_good_answer_counts() {
        for (answer, good) in [("HTTP/1.1 302 Found\r\n\r\n", true), ("HTTP/1.1 500 x\r\n\r\n", false), ("", false)] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert_eq!(answers(ours, Some("/healthz")).await.unwrap(), good, "{answer}");
            let mut request = String::new();
            theirs.read_to_string(&mut request).await.unwrap();
            assert!(request.starts_with("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"));
        }
    }
}
