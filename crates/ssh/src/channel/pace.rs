use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::{
    AWAITING, BACKLOG, BACKLOG_CALM, BACKLOG_PAUSE, IN_USE, PAUSE, PAUSE_SLICE, PAUSES_IN_USE, SESSION_BACKLOG,
};

/// Decides how eagerly a session's socket is read, and can end it.
#[derive(Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    /// Bytes that the backlogs of all channels hold.
    held: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// How many channels have a backlog of each level; the first is of none, and not counted.
    backlogs: [usize; LEVELS],
    /// Until when another channel counts as in use.
    in_use: Option<Instant>,
    /// Channels without a backlog that were written to and have not answered, and until when that counts.
    awaiting: usize,
    awaited: Option<Instant>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pace {
    /// The session is to end: its socket fails from now on.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    pub fn is_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// A channel's backlog went from one level to another.
    pub fn backlog(&self, from: Level, to: Level) {
        let mut state = self.state.lock();
        if let Some(count) = state.backlogs.get_mut(from.0).filter(|_| from != Level::NONE) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = state.backlogs.get_mut(to.0).filter(|_| to != Level::NONE) {
            *count += 1;
        }
        if to < from {
            wake(&mut state.reader);
        }
    }

    /// A channel without a backlog got bytes.
    pub fn arrived(&self) {
        self.state.lock().in_use = Some(Instant::now() + IN_USE);
    }

    /// A channel without a backlog waits for an answer to what was written to it.
    pub fn awaits(&self) {
        let mut state = self.state.lock();
        state.awaiting += 1;
        state.awaited = Some(Instant::now() + AWAITING);
        wake(&mut state.reader);
    }

    /// One that waited waits no more.
    pub fn answered(&self) {
        let mut state = self.state.lock();
        state.awaiting = state.awaiting.saturating_sub(1);
    }

    /// A channel is asked for, or its end is, until the guard is dropped: the answer is behind whatever was sent before it.
    pub fn opening(self: &Arc<Self>) -> Opening {
        self.awaits();
        Opening(self.clone())
    }

    /// Bytes that the backlogs of all channels hold.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub fn holds(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn lets_go(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn pause(&self) -> Option<Duration> {
        self.state.lock().pause(self.held())
    }
}

impl State {
    /// How long to pause after each slice, where the backlogs of all channels hold so many bytes.
    fn pause(&self, held: usize) -> Option<Duration> {
        let worst = self.backlogs.iter().rposition(|count| *count > 0);
        let later = |until: Option<Instant>| until.is_some_and(|until| until > Instant::now());
        let in_use = later(self.in_use) || self.awaiting > 0 && later(self.awaited);
        if worst.is_some() && !in_use {
            return Some(PAUSE);
        }
        let together = quarters(held, SESSION_BACKLOG);
        PAUSES_IN_USE.get(worst.unwrap_or(0).max(together)).copied().flatten()
    }
}

/// How much of a bound is used up: 1 for its first quarter, to 4.
fn quarters(bytes: usize, bound: usize) -> usize {
    (1 + bytes * 4 / bound).min(LEVELS - 1)
}

/// How large a channel's backlog is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(usize);

const LEVELS: usize = PAUSES_IN_USE.len();

impl Level {
    pub const NONE: Self = Self(0);

    /// `before` keeps a backlog from coming and going all the time.
    pub fn of(bytes: usize, before: Self) -> Self {
        match bytes {
            ..=BACKLOG_CALM => Self::NONE,
            ..=BACKLOG_PAUSE if before == Self::NONE => Self::NONE,
            _ => Self(quarters(bytes, BACKLOG)),
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// See [`Pace::opening`].
pub(crate) struct Opening(Arc<Pace>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A session's socket, read as its [`Pace`] says.
pub(crate) struct Paced<S> {
    socket: S,
    pace: Arc<Pace>,
    pause: Option<Pin<Box<Sleep>>>,
    /// What may be read before the next pause.
    slice: usize,
}

impl<S> Paced<S> {
    pub fn new(socket: S, pace: Arc<Pace>) -> Self {
        Self { socket, pace, pause: None, slice: 0 }
    }

    /// Ready when the socket may be read.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut state = self.pace.state.lock();
            if state.ended {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.reader = Some(cx.waker().clone());
            let Some(pause) = state.pause(self.pace.held()) else {
                self.pause = None;
                return Poll::Ready(Ok(()));
            };
            if self.slice > 0 {
                return Poll::Ready(Ok(()));
            }
            // A pause that has begun is cut short where it would be shorter by now.
            let end = Instant::now() + pause;
            if self.pause.as_ref().is_none_or(|sleep| sleep.deadline() > end) {
                self.pause = Some(Box::pin(tokio::time::sleep_until(end)));
            }
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
        }
        self.pause = None;
        self.slice = PAUSE_SLICE;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_turn(cx))?;
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.slice = this.slice.saturating_sub(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        {
            let mut state = this.pace.state.lock();
            if state.ended {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            state.writer = Some(cx.waker().clone());
        }
        Pin::new(&mut this.socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const SOME: Level = Level(1);

    #[tokio::test]
    async fn pauses_for_long_only_while_no_other_channel_is_in_use() {
        let pace = Pace::default();
        assert_eq!(pace.pause(), None);
        pace.backlog(Level::NONE, SOME);
        assert_eq!(pace.pause(), Some(PAUSE));
        pace.awaits();
        assert_eq!(pace.pause(), None, "a visitor waits for an answer");
        pace.answered();
        assert_eq!(pace.pause(), Some(PAUSE));
        pace.arrived();
        assert_eq!(pace.pause(), None, "another channel is in use");
        let much = Level::of(BACKLOG, SOME);
        pace.backlog(SOME, much);
        assert!(pace.pause().is_some_and(|pause| pause < PAUSE), "a large backlog slows even then");
        pace.backlog(much, Level::NONE);
        assert_eq!(pace.pause(), None);
    }

    #[tokio::test]
    async fn many_small_backlogs_slow_the_session_as_one_large_does() {
        let pace = Pace::default();
        pace.holds(SESSION_BACKLOG / 4 - 1);
        assert_eq!(pace.pause(), None);
        pace.holds(SESSION_BACKLOG / 2 + 1);
        assert_eq!(pace.pause(), PAUSES_IN_USE[LEVELS - 1]);
        pace.lets_go(SESSION_BACKLOG * 3 / 4);
        assert_eq!(pace.pause(), None);
    }

    #[test]
    fn levels_of_backlogs() {
        assert_eq!(Level::of(BACKLOG_PAUSE, Level::NONE), Level::NONE);
        assert_eq!(Level::of(BACKLOG_PAUSE + 1, Level::NONE), SOME);
        assert_eq!(Level::of(BACKLOG_PAUSE, SOME), SOME);
        assert_eq!(Level::of(BACKLOG_CALM, SOME), Level::NONE);
        assert_eq!(Level::of(BACKLOG, SOME), Level(LEVELS - 1));
    }

    #[tokio::test]
    async fn a_pause_ends_when_the_backlog_is_gone() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(ours, pace.clone());
        pace.backlog(Level::NONE, SOME);
        theirs.write_all(b"x").await.unwrap();
        let mut byte = [0];
        let mut read = std::pin::pin!(paced.read(&mut byte));
        let early = std::future::poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        pace.backlog(SOME, Level::NONE);
        assert_eq!(read.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_ended_session_wakes_its_reader() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(ours, pace.clone());
        let reading = tokio::spawn(async move { paced.read_u8().await });
        tokio::task::yield_now().await;
        pace.end();
        assert!(reading.await.unwrap().is_err());
    }
}
