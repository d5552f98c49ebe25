//! Connections to members that speak HTTP/2, shared by the requests of one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use doorstep_net::{ConnectError, Io};
use h2::client::{Builder, Connection, SendRequest};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::goaway::{LastStream, Watched};
use crate::idle::PoolKey;
use crate::pool::Member;
use crate::{ProxyError, limits};

/// One connection: what a request needs of it.
#[derive(Clone)]
pub struct Line {
    pub send: SendRequest<Bytes>,
    /// Streams that we have open on it.
    streams: Arc<AtomicUsize>,
    /// Takes no new streams.
    retired: Arc<AtomicBool>,
    last: LastStream,
}

/// A stream's place on a line; dropping it gives the place back.
pub struct StreamPlace(Arc<AtomicUsize>);

impl Line {
    /// Whether the app has said that it did not look at this stream, and will not.
    pub fn disowns(&self, stream: u32) -> bool {
        self.last.is_before(stream)
    }

    /// Keeps others from using it: the app goes away, or is gone.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Counts one more stream.
    pub fn occupy(&self) -> StreamPlace {
        self.streams.fetch_add(1, Ordering::Relaxed);
        StreamPlace(self.streams.clone())
    }

    fn has_room(&self) -> bool {
        self.streams() < self.send.current_max_send_streams().min(limits::H2_STREAMS)
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A line to `member`: the least busy one, or a new one by `open` where all are busy and there may be more. While one is
/// being opened others wait for that, rather than open one each.
pub async fn line<F>(member: &Arc<Member>, open: F) -> Result<Line, ProxyError>
where
    F: Future<Output = Result<Io, ConnectError>>,
{
    let mut waited = false;
    loop {
        match look(member.key, waited) {
            Look::Use(line) => return Ok(line),
            Look::Wait(mut opening) => {
                // Ends when the opening has ended, well or not.
                let _ = opening.changed().await;
                waited = true;
            }
            Look::Open(opening) => {
                let line = start(open.await?, Some(member.clone())).await?;
                // Nobody may wait any more once it can be found.
                let added = line.clone();
                HALL.with_borrow_mut(|hall| hall.entry(member.key).or_default().lines.push(added));
                drop(opening);
                return Ok(line);
            }
        }
    }
}

/// A line of one's own, which nobody else will use.
pub async fn own_line(io: Io) -> Result<Line, ProxyError> {
    start(io, None).await
}

thread_local! {
    static HALL: RefCell<HashMap<PoolKey, Lines>> = RefCell::default();
}

#[derive(Default)]
struct Lines {
    lines: Vec<Line>,
    opening: Option<watch::Receiver<()>>,
}

enum Look {
    Use(Line),
    Wait(watch::Receiver<()>),
    Open(Opening),
}

/// Others wait while this exists.
struct Opening {
    key: PoolKey,
    sender: Option<watch::Sender<()>>,
}

fn look(key: PoolKey, waited: bool) -> Look {
    HALL.with_borrow_mut(|hall| {
        let lines = hall.entry(key).or_default();
        lines.lines.retain(|line| !line.retired.load(Ordering::Relaxed));
        let best = lines.lines.iter().min_by_key(|line| line.streams());
        match best {
            Some(best) if best.has_room() || lines.lines.len() >= limits::H2_LINES || lines.opening.is_some() => {
                Look::Use(best.clone())
            }
            _ => match &lines.opening {
                // Whoever waited and found nothing tries by itself, all at the same time: the member may be hung.
                Some(opening) if !waited => Look::Wait(opening.clone()),
                Some(_) => Look::Open(Opening { key, sender: None }),
                None => {
                    let (sender, receiver) = watch::channel(());
                    lines.opening = Some(receiver);
                    Look::Open(Opening { key, sender: Some(sender) })
                }
            },
        }
    })
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.sender.take().is_none() {
            return;
        }
        let _ = HALL.try_with(|hall| {
            if let Ok(mut hall) = hall.try_borrow_mut()
                && let Some(lines) = hall.get_mut(&self.key)
            {
                lines.opening = None;
            }
        });
    }
}

async fn start(io: Io, member: Option<Arc<Member>>) -> Result<Line, ProxyError> {
    let (io, last) = Watched::new(io);
    let (send, connection) = Builder::new()
        .initial_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_header_list_size(limits::H2_HEADER_LIST)
        .max_send_buffer_size(limits::H2_SEND_BUFFER)
        .enable_push(false)
        .handshake::<_, Bytes>(io)
        .await
        .map_err(ProxyError::Http2)?;
    let line = Line { send, streams: Arc::default(), retired: Arc::default(), last };
    // Without a handle to send by, the connection ends with its last stream.
    let (streams, retired) = (line.streams.clone(), line.retired.clone());
    tokio::spawn(drive(connection, Signs { streams, retired }, member));
    Ok(line)
}

/// What a line and whoever drives it tell each other.
struct Signs {
    streams: Arc<AtomicUsize>,
    retired: Arc<AtomicBool>,
}

/// Moves a connection's frames until it ends. One that nobody uses any more, or whose member is leaving, is taken off the
/// list, and ends when its last stream does.
async fn drive(mut connection: Connection<Watched, Bytes>, signs: Signs, member: Option<Arc<Member>>) {
    let mut look = interval(limits::POOL_SWEEP);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut busy = Instant::now();
    loop {
        tokio::select! {
            // What went wrong, its streams have been told.
            _ = &mut connection => break,
            _ = look.tick() => {
                if signs.streams.load(Ordering::Relaxed) > 0 {
                    busy = Instant::now();
                }
                let leaving = member.as_ref().is_some_and(|member| member.is_leaving());
                if leaving || busy.elapsed() >= limits::H2_IDLE {
                    signs.retired.store(true, Ordering::Relaxed);
                    if let Some(member) = &member {
                        forget_retired(member.key);
                    }
                }
            }
        }
    }
    signs.retired.store(true, Ordering::Relaxed);
    if let Some(member) = &member {
        forget_retired(member.key);
    }
}

fn forget_retired(key: PoolKey) {
    let _ = HALL.try_with(|hall| {
        let Ok(mut hall) = hall.try_borrow_mut() else { return };
        let Some(lines) = hall.get_mut(&key) else { return };
        lines.lines.retain(|line| !line.retired.load(Ordering::Relaxed));
        if lines.lines.is_empty() && lines.opening.is_none() {
            hall.remove(&key);
        }
    });
}
