//! The workers: the one that serves, and those that finish what they began.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal};
use tokio::sync::{mpsc, oneshot};

use super::Event;
use super::process::Process;
use crate::limits::WAITING_FOR_WORKER;
use crate::up::link::{self, FromWorker, Reader, ToWorker, Writer};

/// One worker process.
pub struct Worker {
    pub id: u64,
    pub pid: Pid,
    pub generation: u64,
    pub phase: Phase,
    pub started: Instant,
    /// It accepts connections, or may do so until it is told to drain.
    pub accepts: bool,
    /// When it last said anything.
    pub heard: Instant,
    sender: mpsc::Sender<ToWorker>,
    killer: mpsc::UnboundedSender<Signal>,
    hand_on: Option<oneshot::Sender<HandOn>>,
}

/// The way back for a link, and what was read from it and not used.
type HandOn = oneshot::Sender<(UnixStream, Vec<u8>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// Finishes what is in flight.
    Draining,
}

impl Worker {
    /// Starts a worker of `binary`, which inherits `sockets`.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(
        id: u64,
        generation: u64,
        binary: &Path,
        sockets: &[RawFd],
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let (ours, theirs) = link::pair()?;
        let mut inherited = sockets.to_vec();
        inherited.push(theirs.as_raw_fd());
        let args = [crate::up::WORKER.to_owned(), theirs.as_raw_fd().to_string()];
        let process = Process::spawn(binary, &args, inherited)?;
        drop(theirs);
        Self::follow(id, generation, process, ours, Vec::new(), events)
    }

    /// Follows a worker that the program before us started.
    ///
    /// # Errors
    /// It is gone, or the system's.
    pub fn inherit(
        id: u64,
        generation: u64,
        pid: Pid,
        link: UnixStream,
        early: Vec<u8>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mut worker = Self::follow(id, generation, Process::of(pid)?, link, early, events)?;
        worker.phase = Phase::Serving;
        Ok(worker)
    }

    fn follow(
        id: u64,
        generation: u64,
        process: Process,
        link: UnixStream,
        early: Vec<u8>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let (reader, writer) = link::split(link, early)?;
        let (sender, receiver) = mpsc::channel(WAITING_FOR_WORKER);
        let (killer, signals) = mpsc::unbounded_channel();
        let (hand_on, handing) = oneshot::channel();
        let pid = process.pid;
        tokio::spawn(wait(id, process, signals, events.clone()));
        tokio::spawn(converse(id, reader, writer, receiver, handing, events.clone()));
        let (phase, now) = (Phase::Starting, Instant::now());
        let hand_on = Some(hand_on);
        Ok(Self { id, pid, generation, phase, started: now, accepts: true, heard: now, sender, killer, hand_on })
    }

    /// Queues a message. A worker whose queue is full hangs, and is ended.
    pub fn send(&self, message: ToWorker) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(message) {
            self.kill();
        }
    }

    /// Lets it finish what is in flight.
    pub fn drain(&mut self, seconds: u64, for_good: bool) {
        self.phase = Phase::Draining;
        self.send(ToWorker::Drain { seconds, for_good });
    }

    pub fn kill(&self) {
        let _ = self.killer.send(Signal::KILL);
    }

    /// Ends the conversation at the end of a message and gives the link back, for the program that takes over.
    pub async fn hand_on(mut self) -> Option<(Pid, u64, UnixStream, Vec<u8>)> {
        let (answer, link) = oneshot::channel();
        self.hand_on.take()?.send(answer).ok()?;
        let (link, early) = link.await.ok()?;
        Some((self.pid, self.generation, link, early))
    }
}

async fn wait(
    id: u64,
    process: Process,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    events: mpsc::UnboundedSender<Event>,
) {
    let how = loop {
        tokio::select! {
            how = process.ended() => break how,
            Some(signal) = signals.recv() => process.signal(signal),
        }
    };
    let _ = events.send(Event::WorkerEnded { id, how });
}

async fn converse(
    id: u64,
    mut reader: Reader,
    mut writer: Writer,
    mut receiver: mpsc::Receiver<ToWorker>,
    mut handing: oneshot::Receiver<HandOn>,
    events: mpsc::UnboundedSender<Event>,
) {
    let answer = loop {
        tokio::select! {
            biased;
            Some(message) = receiver.recv() => {
                // A worker that is gone is told of by its end.
                let _ = writer.send(&message).await;
            }
            message = reader.next::<FromWorker>() => match message {
                Ok(Some(message)) => {
                    let _ = events.send(Event::Worker { id, message: Box::new(message) });
                }
                Ok(None) => return,
                Err(error) => {
                    let problem = format!("its messages cannot be read: {error}");
                    let _ = events.send(Event::Worker { id, message: Box::new(FromWorker::Failed { problem }) });
                    return;
                }
            },
            answer = &mut handing => match answer {
                Ok(answer) => break answer,
                Err(_) => return,
            },
        }
    };
    if let Some(link) = link::reunite(reader, writer) {
        let _ = answer.send(link);
    }
}
