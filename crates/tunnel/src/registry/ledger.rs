use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::book::Book;

/// Changes of a file of the memory that are made, and not yet on the disk. They are written together, and whoever made one
/// waits until it is there. If they cannot be written they are all taken back, the last one first.
#[derive(Default)]
pub(super) struct Ledger {
    last: u64,
    pending: BTreeMap<u64, Pending>,
}

/// Whether a change is on the disk; if not, why.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

/// Takes a change back.
pub(super) type Undo = Box<dyn FnOnce(&mut Book) + Send>;

struct Pending {
    undo: Undo,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Ledger {
    /// Notes a change that was just made, and how it is taken back.
    pub fn changed(&mut self, undo: impl FnOnce(&mut Book) + Send + 'static) -> u64 {
        self.last += 1;
        self.pending.insert(self.last, Pending { undo: Box::new(undo), waiting: Vec::new() });
        self.last
    }

    /// To wait for a change; one that is neither written nor pending is nobody's any more, and its sender is gone.
    pub fn wait(&mut self, change: u64) -> Written {
        let (sender, receiver) = oneshot::channel();
        if let Some(pending) = self.pending.get_mut(&change) {
            pending.waiting.push(sender);
        }
        receiver
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// All changes up to this one are on the disk.
    pub fn saved(&mut self, upto: u64) {
        let later = self.pending.split_off(&(upto + 1));
        for pending in std::mem::replace(&mut self.pending, later).into_values() {
            for waiting in pending.waiting {
                let _ = waiting.send(Ok(()));
            }
        }
    }

    /// None of the pending changes will be on the disk. Gives what takes them back, in the order to do it in.
    #[must_use]
    pub fn failed(&mut self, why: &str) -> Vec<Undo> {
        let mut undo = Vec::new();
        for pending in std::mem::take(&mut self.pending).into_values().rev() {
            for waiting in pending.waiting {
                let _ = waiting.send(Err(why.to_owned()));
            }
            undo.push(pending.undo);
        }
        undo
    }
}
