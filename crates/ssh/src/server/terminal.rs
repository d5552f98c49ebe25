use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::server::Msg;
use russh::{ChannelId, ChannelWriteHalf};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::session::Session;
use crate::limits::{TERMINAL_LINE, TERMINAL_LINES};

/// Something to be said on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    text: String,
    /// It belongs on the standard error.
    trouble: bool,
}

impl Line {
    pub fn words(text: impl Into<String>) -> Self {
        Self { text: text.into(), trouble: false }
    }

    pub fn trouble(text: impl Into<String>) -> Self {
        Self { text: text.into(), trouble: true }
    }

    /// What is written: nothing in it commands the terminal, whatever a visitor asked for.
    fn bytes(&self, pty: bool) -> Vec<u8> {
        let plain = self.text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        let mut text: String = plain.take(TERMINAL_LINE).collect();
        text.push_str(if pty { "\r\n" } else { "\n" });
        text.into_bytes()
    }
}

/// A client's terminal: a session channel.
pub(super) struct Terminal {
    pub id: ChannelId,
    lines: mpsc::Sender<Line>,
    left_out: AtomicUsize,
    /// Dropped, it ends the task that writes.
    _open: oneshot::Sender<()>,
}

impl Terminal {
    /// With a `pty`, lines end as raw terminals need it.
    pub fn start(id: ChannelId, half: ChannelWriteHalf<Msg>, pty: bool) -> Self {
        let (lines, written) = mpsc::channel(TERMINAL_LINES);
        let (open, closed) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                () = write(half, written, pty) => {}
                _ = closed => {}
            }
        });
        Self { id, lines, left_out: AtomicUsize::new(0), _open: open }
    }

    /// Never waits: what a slow terminal cannot take is left out, and counted.
    pub fn say(&self, line: Line) {
        let left_out = self.left_out.load(Ordering::Relaxed);
        if left_out > 0 {
            let words = Line::trouble(format!("({left_out} lines are left out: this terminal is too slow)"));
            if self.lines.try_send(words).is_ok() {
                self.left_out.fetch_sub(left_out, Ordering::Relaxed);
            }
        }
        if self.lines.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write(half: ChannelWriteHalf<Msg>, mut lines: mpsc::Receiver<Line>, pty: bool) {
    // Both know how much the client takes: bytes beyond that would keep russh from sending anything on other channels.
    let mut words = pin!(half.make_writer());
    let mut trouble = pin!(half.make_writer_ext(Some(1)));
    while let Some(line) = lines.recv().await {
        let bytes = line.bytes(pty);
        let writer: &mut (dyn AsyncWrite + Send + Unpin) = if line.trouble { &mut trouble } else { &mut words };
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Where lines of a request log go that somebody looks at.
pub struct LogLines {
    session: Weak<Session>,
    host: String,
}

impl LogLines {
    pub(super) fn new(session: Weak<Session>, host: &str) -> Self {
        Self { session, host: host.to_owned() }
    }

    /// Shows one request, without a line break. Never waits; a slow terminal leaves lines out. False when nobody looks any more.
    pub fn send(&self, line: &str) -> bool {
        let session = self.session.upgrade().filter(|session| session.is_followed(&self.host));
        if let Some(session) = &session {
            session.log(line);
        }
        session.is_some()
    }

    pub fn is_closed(&self) -> bool {
        !self.session.upgrade().is_some_and(|session| session.is_followed(&self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_do_not_command_the_terminal() {
        let line = Line::words("GET /\u{1b}[2J 200");
        assert_eq!(line.bytes(true), "GET /\u{fffd}[2J 200\r\n".as_bytes());
        assert_eq!(Line::trouble("x".repeat(9999)).bytes(false).len(), TERMINAL_LINE + 1);
    }
}
