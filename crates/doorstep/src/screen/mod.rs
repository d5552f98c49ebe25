//! The screen: a thread of its own that shows what happens, so that a slow terminal slows nothing else.

mod board;
mod crash;
mod face;
pub mod human;
mod json;
pub mod line;
mod qr;
mod request;
#[cfg(test)]
pub mod samples;
mod story;
mod terminal;
pub mod text;
pub mod tty;
mod tunnel;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use doorstep_model::Finding;
use doorstep_telemetry::AccessLog;
use time::UtcOffset;

use face::Face;
pub use face::complain;
pub use human::{bytes, counted};
pub use story::{Address, App, Kind, Reason, Scope, Sharing, Summary, Tunnel};

use crate::events::Events;
use crate::limits;

/// How to show what happens.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub format: Format,
    pub verbose: bool,
    pub qr: bool,
    /// Local time, found out before there were threads.
    pub zone: UtcOffset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A pinned screen on a terminal, plain lines elsewhere.
    Auto,
    Json,
    Quiet,
}

/// News for the screen that do not come from the engine.
pub enum Message {
    Sharing(Box<Sharing>),
    Address(Address),
    App(App),
    /// How a way from the internet fares.
    Tunnel(Tunnel),
    /// An address no longer leads here.
    Gone(String),
    /// Every address has been tried.
    Settled,
    Finding(Finding),
    Stopping(Reason),
    Resized,
    /// Give the terminal back, then drop the sender.
    Suspend(SyncSender<()>),
    Resume,
    /// Show the summary, give the terminal back, then drop the sender and end.
    End {
        reason: Reason,
        cut: usize,
        done: SyncSender<()>,
    },
}

/// Name of the screen's thread.
const THREAD: &str = "screen";

/// The way to the screen's thread.
#[derive(Clone)]
pub struct Screen {
    messages: SyncSender<Message>,
    thread: std::thread::Thread,
}

impl Screen {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when it has no thread to give.
    pub fn start(
        options: Options,
        events: Arc<Events>,
        log: Option<AccessLog>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        crash::catch(Arc::clone(&events));
        let (messages, inbox) = sync_channel(limits::WAITING_MESSAGES);
        let reader = Reader {
            face: face::choose(options),
            events: Arc::clone(&events),
            inbox,
            log,
            began: Instant::now(),
            visitors: HashSet::new(),
            more_visitors: false,
            unseen: 0,
            told: Vec::new(),
        };
        let handle = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || reader.run())?;
        events.wake(handle.thread().clone());
        Ok((Self { messages, thread: handle.thread().clone() }, handle))
    }

    /// Passes news on. When the screen is so far behind that no more can wait, they are lost.
    pub fn tell(&self, message: Message) {
        let _ = self.messages.try_send(message);
        self.thread.unpark();
    }

    /// Passes on a message that is answered, and waits for the answer for at most [`limits::GOODBYE`].
    pub async fn ask(&self, message: impl FnOnce(SyncSender<()>) -> Message) {
        let (done, answer) = sync_channel(0);
        self.tell(message(done));
        let waiting = tokio::task::spawn_blocking(move || answer.recv_timeout(limits::GOODBYE));
        let _ = waiting.await;
    }

    /// Gives the terminal back without the screen's help.
    pub fn force_restore() {
        tty::restore();
    }
}

/// The screen's thread.
struct Reader {
    face: Box<dyn Face>,
    events: Arc<Events>,
    inbox: Receiver<Message>,
    log: Option<AccessLog>,
    began: Instant,
    visitors: HashSet<IpAddr>,
    more_visitors: bool,
    unseen: u64,
    /// Findings already told, by identifier and words.
    told: Vec<(&'static str, String)>,
}

impl Reader {
    fn run(mut self) {
        loop {
            match self.face.next_tick() {
                Some(tick) => std::thread::park_timeout(tick),
                None => std::thread::park(),
            }
            // News mostly come in groups: what comes within a tick is shown at once.
            std::thread::sleep(limits::SCREEN_TICK);
            self.read_events();
            while let Ok(message) = self.inbox.try_recv() {
                if let Message::End { reason, cut, done } = message {
                    self.read_events();
                    let summary = self.summary(reason, cut);
                    self.face.end(&summary);
                    drop(done);
                    return;
                }
                self.hear(message);
            }
            self.face.draw(Instant::now());
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Sharing(sharing) => self.face.sharing(*sharing),
            Message::Address(address) => self.face.address(address),
            Message::App(app) => self.face.app(&app),
            Message::Tunnel(tunnel) => self.face.tunnel(tunnel),
            Message::Gone(url) => self.face.gone(&url),
            Message::Settled => self.face.settled(),
            Message::Finding(finding) => self.find(finding),
            Message::Stopping(reason) => self.face.stopping(reason),
            Message::Resized => self.face.resized(),
            Message::Suspend(done) => {
                self.face.suspend();
                drop(done);
            }
            Message::Resume => self.face.resume(),
            Message::End { .. } => {}
        }
    }

    fn read_events(&mut self) {
        let batch = self.events.take();
        for exchange in &batch.requests {
            if self.visitors.len() < limits::COUNTED_VISITORS {
                self.visitors.insert(exchange.client.to_canonical());
            } else if !self.visitors.contains(&exchange.client.to_canonical()) {
                self.more_visitors = true;
            }
        }
        if let Some(log) = &mut self.log
            && let Err(finding) = log.write(&batch.requests)
        {
            self.find(finding);
        }
        batch.transfers.into_iter().for_each(|transfer| self.face.transfer(transfer));
        batch.findings.into_iter().for_each(|finding| self.find(finding));
        self.unseen += batch.unseen;
        self.face.requests(batch.requests, batch.unseen);
    }

    fn find(&mut self, finding: Finding) {
        let known = self.told.iter().any(|(id, what)| *id == finding.id && *what == finding.what);
        if !known && self.told.len() < limits::KNOWN_FINDINGS {
            self.told.push((finding.id, finding.what.clone()));
            self.face.finding(finding);
        }
    }

    fn summary(&self, reason: Reason, cut: usize) -> Summary {
        let totals = self.events.totals();
        Summary {
            reason,
            visitors: self.visitors.len(),
            more_visitors: self.more_visitors,
            requests: totals.requests,
            sent: totals.sent,
            received: totals.received,
            duration: self.began.elapsed(),
            unseen: self.unseen,
            cut,
        }
    }
}
