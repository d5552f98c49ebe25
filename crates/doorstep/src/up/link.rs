//! What supervisor and worker say to each other: JSON messages, each behind its length, over a unix socket pair.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;

use doorstep_config::{Privileges, Sources};
use doorstep_model::{AppName, Change, UpstreamAddr};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::control::protocol::Found;
use crate::control::relay_orders::RelayOrder;
use crate::limits::MAX_LINK_MESSAGE;

/// The form of the messages. A worker of another form is not started (an upgrade is then refused, and the old one stays).
pub const PROTOCOL: u32 = 3;

/// From the supervisor to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message, and the only one of its kind.
    Start(Box<Start>),
    /// Serve by this configuration from now on.
    Configure {
        generation: u64,
        sources: Box<Sources>,
    },
    /// Who the instances of an app are, all of them.
    Members {
        app: String,
        members: Vec<Instance>,
    },
    /// Where an app's framework collected its static files, and the path they are served at.
    StaticFiles {
        app: String,
        files: Option<(String, PathBuf)>,
    },
    Ask {
        id: u64,
        question: Question,
    },
    /// What only the supervisor counts.
    Numbers(Numbers),
    /// This worker is the one that serves from now on: certificates are its to look after.
    Lead,
    /// Accept no more, finish what is in flight, and end; after `seconds` in any case.
    Drain {
        seconds: u64,
        /// No other worker takes over.
        for_good: bool,
    },
    /// What became of [`FromWorker::Record`]: the change's number in the journal, or why it is not in it.
    Recorded {
        ticket: u64,
        outcome: Result<u64, String>,
    },
    /// Open log files anew (after logrotate).
    ReopenLogs,
}

/// What a worker needs to begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    pub protocol: u32,
    pub generation: u64,
    pub sources: Sources,
    /// Those of the supervisor: the defaults of the configuration depend on them.
    pub privileges: Privileges,
    pub sockets: Vec<Socket>,
    pub state: PathBuf,
    pub run: PathBuf,
    pub logs: PathBuf,
    /// Who the worker becomes: uid and gid, where the supervisor is root.
    pub user: Option<(u32, u32)>,
}

/// A listening socket that the worker inherits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Socket {
    pub address: SocketAddr,
    pub fd: RawFd,
}

/// Counted since the daemon's start, for the metrics.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Numbers {
    pub reloads: u64,
    pub upgrades: u64,
    pub worker_restarts: u64,
    pub apps: Vec<AppNumbers>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AppNumbers {
    pub name: String,
    pub ready: u32,
    pub restarts: u64,
}

/// One instance of an app, as the worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: String,
    pub addr: Addr,
    /// Gets no new requests.
    pub draining: bool,
}

/// [`UpstreamAddr`] in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addr {
    Tcp(String, u16),
    Unix(PathBuf),
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    Status,
    Certificates,
    RenewCertificate(String),
    Relay(RelayOrder),
}

/// From a worker to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It accepts connections.
    Ready {
        generation: u64,
    },
    /// It cannot begin, and ends.
    Failed {
        problem: String,
    },
    /// It serves by this configuration, or says why not and goes on by the one before.
    Configured {
        generation: u64,
        problem: Option<String>,
    },
    /// It has been told to drain, and accepts no more.
    AcceptsNoMore,
    /// An instance that is draining has nothing in flight any more.
    Drained {
        app: String,
        instance: String,
    },
    Found(Found),
    /// Something that people may want to read now, and nobody needs to do anything about.
    Told {
        text: String,
    },
    Answer {
        id: u64,
        value: Value,
    },
    /// A change outside of doorstep's own folders is about to be made, if it can be written down.
    Record {
        ticket: u64,
        change: Change,
    },
    /// It is no more.
    Undone {
        id: u64,
    },
}

impl From<&UpstreamAddr> for Addr {
    fn from(addr: &UpstreamAddr) -> Self {
        match addr {
            UpstreamAddr::Tcp { host, port } => Self::Tcp(host.clone(), *port),
            UpstreamAddr::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl From<Addr> for UpstreamAddr {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::Tcp(host, port) => Self::Tcp { host, port },
            Addr::Unix(path) => Self::Unix(path),
        }
    }
}

impl ToWorker {
    pub fn members(app: &AppName, members: Vec<Instance>) -> Self {
        Self::Members { app: app.0.clone(), members }
    }
}

/// Two ends of a new link.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(StdStream, OwnedFd)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs.into()))
}

/// Splits a link for reading and writing. `early` is what somebody before us read and did not use.
///
/// # Errors
/// When the runtime cannot watch the socket.
pub fn split(link: StdStream, early: Vec<u8>) -> io::Result<(Reader, Writer)> {
    let (read, write) = UnixStream::from_std(link)?.into_split();
    Ok((Reader { half: read, buffer: early.into() }, Writer(write)))
}

/// The link again, with what was read and not used: for handing on.
pub fn reunite(reader: Reader, writer: Writer) -> Option<(StdStream, Vec<u8>)> {
    let stream = reader.half.reunite(writer.0).ok()?;
    Some((stream.into_std().ok()?, reader.buffer.into()))
}

pub struct Reader {
    half: OwnedReadHalf,
    buffer: VecDeque<u8>,
}

pub struct Writer(OwnedWriteHalf);

impl Reader {
    /// The next message; `None` at the end of the link. Loses nothing when it is cancelled.
    ///
    /// # Errors
    /// What is no message, or the system's.
    pub async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let mut piece = [0; 64 * 1024];
            let read = self.half.read(&mut piece).await?;
            if read == 0 {
                return Ok(None);
            }
            self.buffer.extend(&piece[..read]);
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let bytes = self.buffer.make_contiguous();
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_LINK_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message on the link is too long"));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

impl Writer {
    /// # Errors
    /// The other end is gone, or the message is too long.
    pub async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(message).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MAX_LINK_MESSAGE);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))?;
        let mut frame = Vec::with_capacity(4 + text.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&text);
        self.0.write_all(&frame).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_also_after_the_link_was_handed_on() {
        let (ours, theirs) = pair().unwrap();
        let (_, mut writer) = split(ours, Vec::new()).unwrap();
        let (mut reader, other) = split(StdStream::from(theirs), Vec::new()).unwrap();
        let long = "x".repeat(200_000);
        let sending = async {
            writer.send(&FromWorker::Failed { problem: long.clone() }).await.unwrap();
            writer.send(&FromWorker::Ready { generation: 7 }).await.unwrap();
        };
        let receiving = async { reader.next::<FromWorker>().await.unwrap() };
        let ((), first) = tokio::join!(sending, receiving);
        assert!(matches!(first, Some(FromWorker::Failed { problem }) if problem == long));
        let (link, early) = reunite(reader, other).unwrap();
        let (mut reader, _other) = split(link, early).unwrap();
        assert!(matches!(reader.next().await.unwrap(), Some(FromWorker::Ready { generation: 7 })));
        drop(writer);
        assert!(reader.next::<FromWorker>().await.unwrap().is_none());
    }
}
