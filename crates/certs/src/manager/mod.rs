//! Keeps every site's certificate in the table: loads, obtains, renews, and says what is wrong.

mod book;
mod clock;
mod report;
mod run;
mod turn;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use doorstep_model::{Blame, Finding, Issuance, Severity};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::acme::Accounts;
use crate::ledger::Deed;
use crate::storage::Storage;
use crate::{CertName, CertRequest, CertStatus, CertTable, Http01Answers, ManagerOptions};
use book::Book;

/// Obtains certificates and renews them. A clone is the same manager.
///
/// Only one works with a state folder at a time: [`Manager::run`] waits for its turn.
#[derive(Clone)]
pub struct Manager {
    shared: Arc<Shared>,
}

/// Why [`Manager::renew`] does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenewError {
    #[error("no site has a certificate for that name")]
    Unknown,
    #[error("that certificate comes from files: whoever writes them renews it")]
    Files,
}

pub(crate) struct Shared {
    pub options: ManagerOptions,
    pub storage: Storage,
    pub table: CertTable,
    pub answers: Http01Answers,
    pub accounts: Accounts,
    book: Mutex<Book>,
    wake: Notify,
    stopped: AtomicBool,
    /// The disk did not take something, and that was said; until a certificate is kept again.
    disk_full: AtomicBool,
}

impl Manager {
    /// Puts into `table` what is kept for the requests, and what can be made at once: certificates of this computer's own
    /// authority. The others follow once it runs. Reads and writes files: not for the data plane.
    pub fn new(options: ManagerOptions, table: CertTable, answers: Http01Answers) -> Self {
        let storage = Storage::new(&options.dir);
        let book = Book { ledger: storage.ledger(), ..Book::default() };
        let shared = Shared {
            storage,
            table,
            answers,
            accounts: Accounts::default(),
            book: Mutex::new(book),
            wake: Notify::new(),
            stopped: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            options,
        };
        let manager = Self { shared: Arc::new(shared) };
        manager.update(manager.shared.options.issuance.clone(), manager.shared.options.requests.clone());
        manager
    }

    /// Takes new requests over: a reload, or other text in certificate files. What is served stays until there is
    /// something better. Reads and writes files: not for the data plane.
    pub fn update(&self, issuance: Issuance, requests: Vec<CertRequest>) {
        let shared = &self.shared;
        let requests: Vec<CertRequest> = requests.into_iter().map(CertRequest::named).collect();
        let mut findings = shared.table.arrange(&requests);
        shared.accounts.clear();
        shared.arrange(Arc::new(issuance), requests, SystemTime::now(), &mut findings);
        findings.into_iter().for_each(|finding| shared.report(finding));
        shared.wake.notify_one();
    }

    /// Takes other requests over, to be fulfilled as before: names that came and went. As [`Manager::update`] otherwise.
    pub fn request(&self, requests: Vec<CertRequest>) {
        let shared = &self.shared;
        let requests: Vec<CertRequest> = requests.into_iter().map(CertRequest::named).collect();
        let mut findings = shared.table.arrange(&requests);
        let issuance = shared.book.lock().issuance.clone();
        shared.arrange(issuance, requests, SystemTime::now(), &mut findings);
        findings.into_iter().for_each(|finding| shared.report(finding));
        shared.wake.notify_one();
    }

    /// Works until [`Manager::stop`], or until it is dropped, once no other manager works in the state folder; what that one
    /// did is taken over. Writes files: give it a runtime that is none of the data plane's.
    pub async fn run(self) {
        run::run(self.shared).await;
    }

    /// Ends [`Manager::run`], and what was under way with it: whoever has the state folder next goes on with it. What is in
    /// the table is served on.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// Asks for a new certificate for `name` now, whatever the old one has left. [`Manager::status`] tells how it goes.
    ///
    /// # Errors
    /// When there is nothing to renew.
    pub fn renew(&self, name: &CertName) -> Result<(), RenewError> {
        self.shared.book.lock().ask(name)?;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// All certificates, by name.
    pub fn status(&self) -> Vec<CertStatus> {
        self.shared.status(SystemTime::now())
    }
}

impl Shared {
    pub fn report(&self, finding: Finding) {
        (self.options.report)(finding);
    }

    /// A step of an order; stops here for good where a test wants a crash.
    pub async fn reach(&self, step: &str) {
        if self.options.checkpoint.as_ref().is_some_and(|goes_on| !goes_on(step)) {
            std::future::pending::<()>().await;
        }
    }

    /// Writes something to the state. A full disk stops nothing, but it is said once.
    pub fn disk(&self, write: impl FnOnce() -> io::Result<()>) -> bool {
        match write() {
            Ok(()) => true,
            Err(error) => {
                if !self.disk_full.swap(true, Ordering::Relaxed) {
                    self.report(not_written(&self.options.dir, &error));
                }
                false
            }
        }
    }

    /// Records what is asked of an authority, before it is asked.
    pub fn note(&self, issuer: &str, deed: Deed, name: &CertName) {
        let ledger = {
            let mut book = self.book.lock();
            book.ledger.record(issuer, deed, &name.to_string(), SystemTime::now());
            book.ledger.clone()
        };
        self.disk(|| self.storage.keep_ledger(&ledger));
    }
}

fn not_written(dir: &std::path::Path, error: &io::Error) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Environment,
        id: "state-not-written",
        what: format!("Nothing can be written to {}: {error}. New certificates are used from memory.", dir.display()),
        why: "After a restart they are asked for again, which authorities allow only so often.".into(),
        fix: format!("Make room on the disk, or let doorstep write there: df -h {}", dir.display()),
    }
}
