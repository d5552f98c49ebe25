//! Whether visitors reach a port that a server granted: our own connection to its public address, which must come back
//! to us through the session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use doorstep_net::{ConnectError, Io, connect_tcp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::limits::PROBE;

/// One question that is on its way.
#[derive(Clone)]
pub(super) struct Probe {
    word: Arc<str>,
    /// Whether the question came back, or is given up.
    over: Arc<watch::Sender<bool>>,
}

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It came back to us.
    Ours,
    /// Nobody takes connections there.
    Closed,
    /// Nothing answers.
    Silent,
    /// Something else answers.
    Another,
    UnknownName,
}

impl Probe {
    pub fn new() -> Self {
        let mut random = [0; 16];
        // Without randomness, nobody can mistake a question for another one either: it is only told from visitors' bytes.
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let word = random.iter().fold("doorstep-probe-".to_owned(), |word, byte| format!("{word}{byte:02x}")) + "\r\n";
        Self { word: word.into(), over: Arc::new(watch::Sender::new(false)) }
    }

    /// Asks, and waits for what becomes of it. Not twice at once.
    pub async fn ask(&self, host: &str, port: u16) -> Reach {
        self.over.send_replace(false);
        let mut came = self.over.subscribe();
        let asking = async {
            let mut stream = match timeout(PROBE, connect_tcp(host, port, |_| true)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(ConnectError::Resolve { .. })) => return Reach::UnknownName,
                Ok(Err(ConnectError::Io { source, .. })) if source.kind() == io::ErrorKind::ConnectionRefused => {
                    return Reach::Closed;
                }
                Ok(Err(_)) | Err(_) => return Reach::Silent,
            };
            let _ = stream.write_all(self.word.as_bytes()).await;
            match timeout(PROBE, came.wait_for(|came| *came)).await {
                Ok(Ok(_)) => Reach::Ours,
                _ => Reach::Another,
            }
        };
        let reach = asking.await;
        self.over.send_replace(true);
        reach
    }

    /// Looks whether a visitor is the question. None if so; else the visitor, none of whose bytes are lost.
    pub async fn screen(&self, mut io: Io) -> Option<Io> {
        let mut over = self.over.subscribe();
        let mut begin = Vec::new();
        while !*over.borrow_and_update() && begin.len() < self.word.len() && self.word.as_bytes().starts_with(&begin) {
            let mut more = [0; 64];
            let most = self.word.len() - begin.len();
            tokio::select! {
                read = io.read(more.get_mut(..most)?) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(count) => begin.extend_from_slice(more.get(..count)?),
                },
                _ = over.changed() => break,
            }
        }
        if begin == self.word.as_bytes() {
            self.over.send_replace(true);
            return None;
        }
        Some(if begin.is_empty() { io } else { Io::Other(Box::new(Begun { begin: begin.into(), io })) })
    }

    pub fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}

/// A stream whose first bytes were read already.
struct Begun {
    begin: Bytes,
    io: Io,
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.begin.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let part = self.begin.len().min(buf.remaining());
        buf.put_slice(self.begin.get(..part).unwrap_or_default());
        self.begin.advance(part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_visitor_is_told_from_the_question_and_loses_nothing() {
        let probe = Probe::new();
        let (mut visitor, ours) = tokio::io::duplex(256);
        visitor.write_all(b"doorstep!").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut io = probe.screen(Io::Other(Box::new(ours))).await.unwrap();
        let mut text = String::new();
        io.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "doorstep!");
        let (mut question, ours) = tokio::io::duplex(256);
        question.write_all(probe.word.as_bytes()).await.unwrap();
        assert!(probe.screen(Io::Other(Box::new(ours))).await.is_none());
        assert!(probe.is_over());
    }

    #[tokio::test]
    async fn a_visitor_who_waits_for_the_app_is_let_in_when_the_question_is_over() {
        let probe = Probe::new();
        let (_visitor, ours) = tokio::io::duplex(256);
        let other = probe.clone();
        let screening = tokio::spawn(async move { other.screen(Io::Other(Box::new(ours))).await });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(probe.ask("127.0.0.1", closed.port()).await, Reach::Closed);
        assert!(screening.await.unwrap().is_some());
    }
}
