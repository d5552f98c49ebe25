//! The journal, which the supervisor keeps: asked over the link.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use doorstep_model::{Change, Ledger, LedgerFuture};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Says;
use crate::up::link::FromWorker;

/// See [`FromWorker::Record`].
pub struct LinkLedger {
    says: Says,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<u64, String>>>>,
    next: AtomicU64,
}

impl LinkLedger {
    pub fn new(says: Says) -> Self {
        Self { says, waiting: Mutex::default(), next: AtomicU64::new(1) }
    }

    /// The supervisor's answer.
    pub fn answered(&self, ticket: u64, outcome: Result<u64, String>) {
        if let Some(waiting) = self.waiting.lock().remove(&ticket) {
            let _ = waiting.send(outcome);
        }
    }
}

impl Ledger for LinkLedger {
    fn record(&self, change: Change) -> LedgerFuture<'_, u64> {
        Box::pin(async move {
            let ticket = self.next.fetch_add(1, Ordering::Relaxed);
            let (answer, answered) = oneshot::channel();
            self.waiting.lock().insert(ticket, answer);
            let gone = || io::Error::other("the supervisor is gone");
            self.says.send(FromWorker::Record { ticket, change }).map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(io::Error::other)
        })
    }

    fn undone(&self, id: u64) -> LedgerFuture<'_, ()> {
        Box::pin(async move {
            self.says.send(FromWorker::Undone { id }).map_err(|_| io::Error::other("the supervisor is gone"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn each_question_gets_its_own_answer() {
        let (says, mut said) = mpsc::unbounded_channel();
        let ledger = Arc::new(LinkLedger::new(says));
        let user = |name: &str| Change::User { name: name.to_owned() };
        let ask = |name: &'static str| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.record(user(name)).await })
        };
        let (one, other) = (ask("one"), ask("other"));
        for _ in 0..2 {
            let Some(FromWorker::Record { ticket, change }) = said.recv().await else { panic!() };
            let outcome = if change == user("one") { Ok(7) } else { Err("no room".to_owned()) };
            ledger.answered(ticket, outcome);
            ledger.answered(ticket, Ok(9));
        }
        assert_eq!(one.await.unwrap().unwrap(), 7);
        assert_eq!(other.await.unwrap().unwrap_err().to_string(), "no room");
        drop(said);
        assert!(ledger.record(user("late")).await.is_err());
    }
}
