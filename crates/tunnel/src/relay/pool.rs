use std::thread::{self, ThreadId};

use doorstep_proto::tunnel::limits::MAX_STREAMS;
use doorstep_proto::tunnel::{Code, Sharing};

use crate::link::{LinkHandle, Traffic};

/// The data connections of one session: at most [`MAX_DATA_CONNS`](doorstep_proto::tunnel::limits::MAX_DATA_CONNS), so that
/// looking through all of them costs nothing.
#[derive(Default)]
pub(super) struct Pool {
    conns: Vec<Conn>,
    /// Greetings under way that have a place here.
    pub coming: usize,
    next: u32,
    /// What connections that are gone have carried.
    past: Traffic,
    /// How many exclusive and shared ones are wanted.
    pub wanted: (usize, usize),
    /// Visitors that wait for a connection.
    pub waiting: usize,
    /// The last [`busy`](Self::busy) that the control connection heard of.
    pub told: u16,
}

struct Conn {
    number: u32,
    handle: LinkHandle,
    sharing: Sharing,
    /// Where it is polled: a visitor of the same thread has the shortest way.
    thread: ThreadId,
    /// When it was freed, in the order of the pool; `None` while it has a stream. For exclusive ones.
    idle: Option<u32>,
}

impl Pool {
    pub fn len(&self) -> usize {
        self.conns.len() + self.coming
    }

    /// Adds one that is polled by this thread; says its number.
    pub fn add(&mut self, sharing: Sharing, handle: LinkHandle) -> u32 {
        self.next += 1;
        let (number, thread) = (self.next, thread::current().id());
        self.conns.push(Conn { number, handle, sharing, thread, idle: Some(number) });
        number
    }

    pub fn remove(&mut self, number: u32) {
        if let Some(at) = self.conns.iter().position(|conn| conn.number == number) {
            self.past += self.conns.swap_remove(at).handle.traffic();
        }
    }

    /// A stream is over. Says whether there is one exclusive connection more than wanted, which is this one: close it.
    pub fn free(&mut self, number: u32) -> bool {
        self.next += 1;
        let surplus = self.exclusive().count() > self.wanted.0;
        let Some(conn) = self.conns.iter_mut().find(|conn| conn.number == number) else { return false };
        if conn.sharing == Sharing::Shared || conn.handle.streams() > 0 {
            return false;
        }
        conn.idle = (!surplus).then_some(self.next);
        surplus
    }

    /// For a stream of bytes: an exclusive connection that is free, of this thread rather than of another, and the one that
    /// was used last (its path is known to be good). Where none is, the shared one with the fewest streams.
    pub fn take(&mut self) -> Option<LinkHandle> {
        let here = thread::current().id();
        let free = self
            .conns
            .iter_mut()
            .filter(|conn| conn.sharing == Sharing::Exclusive && conn.idle.is_some() && conn.handle.is_open());
        match free.max_by_key(|conn| (conn.thread == here, conn.idle)) {
            Some(conn) => {
                conn.idle = None;
                Some(conn.handle.clone())
            }
            None => self.take_shared(),
        }
    }

    /// For flows of datagrams, which go over shared connections only.
    pub fn take_shared(&self) -> Option<LinkHandle> {
        let shared = self.conns.iter().filter(|conn| conn.sharing == Sharing::Shared && conn.handle.is_open());
        let (streams, conn) = shared.map(|conn| (conn.handle.streams(), conn)).min_by_key(|(streams, _)| *streams)?;
        (streams < MAX_STREAMS).then(|| conn.handle.clone())
    }

    /// Streams that would have an exclusive connection if there were enough of them.
    pub fn busy(&self) -> u16 {
        let exclusive = self.exclusive().filter(|conn| conn.idle.is_none()).count();
        let shared = self.conns.iter().filter(|conn| conn.sharing == Sharing::Shared);
        let shared: usize = shared.map(|conn| conn.handle.byte_streams()).sum();
        u16::try_from(exclusive + shared + self.waiting).unwrap_or(u16::MAX)
    }

    /// Closes those that were idle longest, down to what is wanted.
    pub fn shrink(&mut self) {
        while self.exclusive().count() > self.wanted.0 {
            let idle = self.conns.iter().filter(|conn| conn.sharing == Sharing::Exclusive && conn.idle.is_some());
            let Some(oldest) = idle.min_by_key(|conn| conn.idle).map(|conn| conn.number) else { break };
            self.close(oldest);
        }
        let unused = |conn: &&Conn| conn.sharing == Sharing::Shared && conn.handle.streams() == 0;
        while self.conns.iter().filter(|conn| conn.sharing == Sharing::Shared).count() > self.wanted.1 {
            let Some(one) = self.conns.iter().find(unused).map(|conn| conn.number) else { break };
            self.close(one);
        }
    }

    pub fn close_all(&mut self, code: Code) {
        self.conns.iter().for_each(|conn| conn.handle.close(code));
    }

    /// Those that carry nothing. What the agent said last on the others may still be on its way; each closes when it is read.
    pub fn close_idle(&mut self, code: Code) {
        self.conns.iter().filter(|conn| conn.handle.streams() == 0).for_each(|conn| conn.handle.close(code));
    }

    pub fn streams(&self) -> usize {
        self.conns.iter().map(|conn| conn.handle.streams()).sum()
    }

    pub fn traffic(&self) -> Traffic {
        self.conns.iter().fold(self.past, |mut sum, conn| {
            sum += conn.handle.traffic();
            sum
        })
    }

    fn close(&mut self, number: u32) {
        if let Some(conn) = self.conns.iter().find(|conn| conn.number == number) {
            conn.handle.close(Code::Done);
        }
        self.remove(number);
    }

    fn exclusive(&self) -> impl Iterator<Item = &Conn> {
        self.conns.iter().filter(|conn| conn.sharing == Sharing::Exclusive)
    }
}
