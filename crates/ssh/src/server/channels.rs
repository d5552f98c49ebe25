use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use russh::ChannelId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::Session;
use crate::channel::{Backlog, Held, Opening, Pace};
use crate::limits::CHANNELS;

/// The visitors' channels of a session.
pub(super) struct Channels {
    open: Mutex<HashMap<ChannelId, Channel>>,
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
}

struct Channel {
    backlog: Arc<Backlog>,
    /// Whoever asked for it has it.
    taken: bool,
    closed: bool,
}

impl Channels {
    pub fn new(pace: Arc<Pace>) -> Self {
        Self { open: Mutex::default(), places: Arc::new(Semaphore::new(CHANNELS)), pace }
    }

    /// A place for one more; none where there are too many.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Ends when there are none. From then on, there will be none.
    pub async fn idle(&self) {
        if let Ok(all) = self.places.acquire_many(u32::try_from(CHANNELS).unwrap_or(u32::MAX)).await {
            all.forget();
        }
    }

    /// One is asked for, until the guard is dropped.
    pub fn opening(&self) -> Opening {
        self.pace.opening()
    }

    /// A channel was opened. Its backlog is made by whoever comes first, the session's events or whoever asked for it.
    pub fn opened(&self, id: ChannelId) {
        self.with(id, |_| ());
    }

    /// Whoever asked for a channel has it.
    pub fn take(&self, id: ChannelId) -> Arc<Backlog> {
        let (backlog, closed) = self.with(id, |channel| {
            channel.taken = true;
            (channel.backlog.clone(), channel.closed)
        });
        if closed {
            self.open.lock().remove(&id);
        }
        backlog
    }

    fn with<T>(&self, id: ChannelId, see: impl FnOnce(&mut Channel) -> T) -> T {
        let mut open = self.open.lock();
        let new = || Channel { backlog: Backlog::new(self.pace.clone()), taken: false, closed: false };
        see(open.entry(id).or_insert_with(new))
    }

    /// The backlog of a channel that is there.
    pub fn backlog(&self, id: ChannelId) -> Option<Arc<Backlog>> {
        self.open.lock().get(&id).map(|channel| channel.backlog.clone())
    }

    /// The client closed a channel.
    pub fn closed(&self, id: ChannelId) {
        let mut open = self.open.lock();
        let Some(channel) = open.get_mut(&id) else { return };
        channel.closed = true;
        channel.backlog.close();
        if channel.taken {
            open.remove(&id);
        }
    }

    /// The session is over.
    pub fn close(&self) {
        for channel in self.open.lock().values() {
            channel.backlog.close();
        }
    }
}

/// What a visitor's channel holds on to.
pub(super) struct HeldChannel {
    pub session: Arc<Session>,
    pub id: ChannelId,
    pub _place: OwnedSemaphorePermit,
}

impl Held for HeldChannel {
    fn reset(&self) {
        self.session.reset();
    }
}

impl Drop for HeldChannel {
    fn drop(&mut self) {
        self.session.channels().open.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::ssh_encoding::Decode;
    use std::task::{Context, Poll, Waker};
    use tokio::io::ReadBuf;

    #[test]
    fn a_channel_that_is_closed_before_it_is_taken_is_closed_for_its_taker() {
        let channels = Channels::new(Arc::default());
        let id = ChannelId::decode(&mut [0_u8, 0, 0, 7].as_slice()).unwrap();
        channels.opened(id);
        channels.backlog(id).unwrap().push(b"x").unwrap();
        channels.closed(id);
        let backlog = channels.take(id);
        let (mut byte, mut cx) = ([0; 2], Context::from_waker(Waker::noop()));
        let mut read = || {
            let mut buf = ReadBuf::new(&mut byte);
            backlog.poll_read(&mut cx, &mut buf).map_ok(|()| buf.filled().len())
        };
        assert!(matches!(read(), Poll::Ready(Ok(1))));
        assert!(matches!(read(), Poll::Ready(Err(_))));
        assert!(channels.backlog(id).is_none());
    }
}
