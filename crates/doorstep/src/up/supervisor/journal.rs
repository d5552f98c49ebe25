//! The journal, for the worker: it may not write where root does.

use std::path::PathBuf;
use std::time::Duration;

use doorstep_model::Change;
use doorstep_store::Journal;
use tokio::sync::mpsc;

use super::Event;
use crate::exit::cause;

/// Writes what workers want to have written down, one after the other, beside everything else: `doorstep undo` may have it
/// locked for a while.
pub struct JournalKeeper {
    notes: mpsc::UnboundedSender<Note>,
}

enum Note {
    /// Everything before it is written.
    Flush(std::sync::mpsc::Sender<()>),
    Record {
        worker: u64,
        ticket: u64,
        change: Change,
    },
    Undone(u64),
}

impl JournalKeeper {
    pub fn start(state: PathBuf, events: mpsc::UnboundedSender<Event>) -> Self {
        let (notes, mut heard) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while let Some(note) = heard.blocking_recv() {
                match note {
                    Note::Record { worker, ticket, change } => {
                        let outcome = Journal::open(&state).and_then(|mut journal| journal.record(change));
                        let outcome = outcome.map_err(|error| cause(&error));
                        let _ = events.send(Event::Recorded { worker, ticket, outcome });
                    }
                    Note::Flush(done) => drop(done.send(())),
                    // What stays in it is undone twice, which does no harm.
                    Note::Undone(id) => drop(Journal::open(&state).and_then(|mut journal| journal.undone(id))),
                }
            }
        });
        Self { notes }
    }

    /// Answered by [`Event::Recorded`].
    pub fn record(&self, worker: u64, ticket: u64, change: Change) {
        let _ = self.notes.send(Note::Record { worker, ticket, change });
    }

    /// Waits until everything is written, within `most`.
    pub fn flush(&self, most: Duration) {
        let (done, written) = std::sync::mpsc::channel();
        let _ = self.notes.send(Note::Flush(done));
        let _ = written.recv_timeout(most);
    }

    pub fn undone(&self, id: u64) {
        let _ = self.notes.send(Note::Undone(id));
    }
}
