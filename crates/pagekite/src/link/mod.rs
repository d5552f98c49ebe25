//! A machine of either end on a connection: one [`Driver`] for the connection, one [`KiteStream`] for each visitor.
//!
//! All share the machine behind a lock that nobody holds across an `await`. Streams read from and write to the machine
//! themselves; the driver moves the machine's bytes, and wakes streams for which something happened.

mod driver;
mod machine;
mod prefixed;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use doorstep_net::Io;
use doorstep_proto::pagekite::{Opening, Sid, StreamEvent};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use socket2::SockRef;

use crate::limits::SILENCE;

pub(crate) use driver::Driver;
pub(crate) use machine::{Machine, unix};
pub(crate) use prefixed::Prefixed;
pub(crate) use stream::{KiteStream, LazyStream};

/// Has a connection fail when what was sent over it is not confirmed for [`SILENCE`].
pub(crate) fn notice_silence(io: &Io) {
    let socket = match io {
        Io::Tcp(socket) => socket,
        Io::Tls(tls) => tls.get_ref().0,
        Io::Unix(_) | Io::Other(_) => return,
    };
    // Without it, the pings notice as well, later.
    let _ = SockRef::from(socket).set_tcp_user_timeout(Some(SILENCE));
}

/// One tunnel, as everybody but its driver sees it.
pub(crate) struct Link<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Link<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<M> {
    state: Mutex<State<M>>,
    driver: AtomicWaker,
    started: Instant,
}

struct State<M> {
    machine: M,
    streams: HashMap<Sid, Parked>,
    /// Who wants to open a stream and found no room.
    openers: Vec<Waker>,
    /// The tunnel ended; what came can still be read.
    over: bool,
}

/// Who waits for something to happen to a stream.
#[derive(Default)]
struct Parked {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The other side takes no more.
    stopped: bool,
}

impl Parked {
    fn wake(&mut self) {
        self.reader.take().map(Waker::wake).unwrap_or_default();
        self.writer.take().map(Waker::wake).unwrap_or_default();
    }
}

impl<M: Machine> Link<M> {
    /// Makes the machine when the tunnel's time begins.
    pub fn new(machine: impl FnOnce(Duration) -> M) -> Self {
        let state =
            State { machine: machine(Duration::ZERO), streams: HashMap::new(), openers: Vec::new(), over: false };
        let shared = Shared { state: Mutex::new(state), driver: AtomicWaker::new(), started: Instant::now() };
        Self { shared: Arc::new(shared) }
    }

    /// Does something with the machine; the driver looks at what came of it.
    pub fn with<T>(&self, act: impl FnOnce(&mut M, Duration) -> T) -> T {
        let result = act(&mut self.shared.state.lock().machine, self.shared.started.elapsed());
        self.shared.driver.wake();
        result
    }

    /// The visitor of an `Opened` event.
    pub fn stream(&self, sid: Sid) -> KiteStream<M> {
        KiteStream::new(self.clone(), sid)
    }

    /// The machine, once nobody else has to do with it.
    pub fn take(self) -> Option<M> {
        Arc::into_inner(self.shared).map(|shared| shared.state.into_inner().machine)
    }

    pub fn is_over(&self) -> bool {
        self.shared.state.lock().over
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.shared.state.lock().streams.len()
    }
}

impl Link<doorstep_proto::pagekite::FrontEnd> {
    /// A stream that is opened with the first bytes written to it.
    pub fn visitor(&self, opening: Opening) -> LazyStream {
        LazyStream::new(self.clone(), opening)
    }
}

impl<M> State<M> {
    fn happened(&mut self, event: &StreamEvent) {
        let Some(parked) = self.streams.get_mut(event.sid()) else { return };
        match event {
            StreamEvent::Opened { .. } => {}
            StreamEvent::Readable(_) => parked.reader.take().map(Waker::wake).unwrap_or_default(),
            StreamEvent::Writable(_) => parked.writer.take().map(Waker::wake).unwrap_or_default(),
            StreamEvent::Stopped(_) => {
                parked.stopped = true;
                parked.wake();
            }
            StreamEvent::Closed(sid) => {
                parked.wake();
                self.streams.remove(sid);
                self.wake_openers();
            }
        }
    }

    fn wake_openers(&mut self) {
        self.openers.drain(..).for_each(Waker::wake);
    }

    fn end(&mut self) {
        self.over = true;
        self.streams.values_mut().for_each(Parked::wake);
        self.wake_openers();
    }
}
