use std::io;
use std::path::PathBuf;

use doorstep_model::{Change, Ledger, LedgerFuture};
use doorstep_store::Journal;

/// The journal in a state folder. Open only while something is written, so that several programs of one user can share it.
pub struct FileLedger {
    state: PathBuf,
}

impl FileLedger {
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal) -> io::Result<T> + Send + 'static,
    ) -> LedgerFuture<'_, T> {
        let state = self.state.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&mut Journal::open(&state)?)).await;
            done.unwrap_or_else(|error| Err(io::Error::other(error)))
        })
    }
}

impl Ledger for FileLedger {
    fn record(&self, change: Change) -> LedgerFuture<'_, u64> {
        self.with(|journal| journal.record(change))
    }

    fn undone(&self, id: u64) -> LedgerFuture<'_, ()> {
        self.with(move |journal| journal.undone(id))
    }
}
