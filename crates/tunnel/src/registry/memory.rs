//! The thread that writes the memory: one at a time of all processes, everything that has changed meanwhile at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::RegistryError;
use super::book::{Book, Stage};
use super::files::{agents, names};
use crate::limits::{LOCK_AGAIN, MEMORY_FILE};

/// What the registry and the thread that writes share.
pub(super) struct Memory {
    pub dir: PathBuf,
    pub book: Mutex<Book>,
    /// The thread has something to do.
    work: Condvar,
    /// The stage changed.
    pub staged: Notify,
}

/// Called under the lock after the memory was read anew from the disk, with what it was before.
pub(super) type Reread = Box<dyn Fn(&mut Book) + Send>;

impl Memory {
    pub fn new(dir: &Path, book: Book) -> Arc<Self> {
        Arc::new(Self { dir: dir.to_owned(), book: Mutex::new(book), work: Condvar::new(), staged: Notify::new() })
    }

    /// Something is to be written.
    pub fn wake(&self) {
        self.work.notify_one();
    }

    /// Reads what is on the disk into the book.
    ///
    /// # Errors
    /// Files that cannot be read or make no sense; the book is then as it was.
    pub fn read(&self, book: &mut Book, domain: &str) -> Result<(), RegistryError> {
        let agents_text = read(&self.dir.join(agents::FILE))?;
        let names_text = read(&self.dir.join(names::FILE))?;
        let place = |file: &str, text: &str, (at, reason): (usize, String)| RegistryError::Memory {
            path: self.dir.join(file),
            line: text.get(..at).unwrap_or(text).matches('\n').count() + 1,
            reason,
        };
        let agents_read = agents::parse(&agents_text).map_err(|fault| place(agents::FILE, &agents_text, fault))?;
        let names_read = names::parse(&names_text, domain).map_err(|fault| place(names::FILE, &names_text, fault))?;
        agents::apply(agents_read, book);
        names::apply(names_read, book);
        Ok(())
    }

    /// Takes the lock that whoever writes has. `None`: another process has it.
    pub fn lock(&self) -> io::Result<Option<File>> {
        let path = self.dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes until it is retired. `lock` is there already where nobody else can be writing.
    pub fn start(self: &Arc<Self>, lock: Option<File>, domain: String, reread: Reread) -> io::Result<JoinHandle<()>> {
        let memory = self.clone();
        std::thread::Builder::new().name("relay-memory".to_owned()).spawn(move || {
            let lock = match lock {
                Some(lock) => Some(lock),
                None => memory.take_over(&domain, &reread),
            };
            if lock.is_some() {
                memory.write_on();
            }
        })
    }

    /// Waits for its turn, and for the lock, then reads what the one before wrote last. `None`: retired before.
    fn take_over(&self, domain: &str, reread: &Reread) -> Option<File> {
        let mut book = self.book.lock();
        loop {
            match book.stage {
                Stage::Retired => return None,
                Stage::Standby | Stage::Leading => self.work.wait(&mut book),
                Stage::Waiting => {
                    if let Ok(Some(lock)) = self.lock() {
                        // What somebody broke by hand meanwhile does not stop a relay that runs: it goes on with what it knows.
                        let _ = self.read(&mut book, domain);
                        reread(&mut book);
                        book.stage = Stage::Leading;
                        self.staged.notify_waiters();
                        return Some(lock);
                    }
                    self.work.wait_for(&mut book, LOCK_AGAIN);
                }
            }
        }
    }

    fn write_on(&self) {
        let mut book = self.book.lock();
        loop {
            let (agents_dirty, names_dirty) = (book.agents_ledger.is_dirty(), book.names_ledger.is_dirty());
            if agents_dirty {
                let (upto, snapshot) = (book.agents_ledger.last(), agents::Snapshot::of(&book));
                drop(book);
                let written = self.write(agents::FILE, &snapshot.text());
                book = self.book.lock();
                match written {
                    Ok(()) => book.agents_ledger.saved(upto),
                    Err(why) => {
                        let undo = book.agents_ledger.failed(&why);
                        undo.into_iter().for_each(|undo| undo(&mut book));
                    }
                }
            }
            if names_dirty {
                let (upto, snapshot) = (book.names_ledger.last(), names::Snapshot::of(&book));
                drop(book);
                let written = self.write(names::FILE, &snapshot.text());
                book = self.book.lock();
                match written {
                    Ok(()) => {
                        book.names_ledger.saved(upto);
                        book.unsaved.retain(|_, change| *change > upto);
                    }
                    Err(why) => {
                        let undo = book.names_ledger.failed(&why);
                        undo.into_iter().for_each(|undo| undo(&mut book));
                        book.unsaved.clear();
                    }
                }
            }
            if !agents_dirty && !names_dirty {
                if book.stage == Stage::Retired {
                    return;
                }
                self.work.wait(&mut book);
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(file);
        doorstep_store::write_private(&path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read(path: &Path) -> Result<String, RegistryError> {
    let fail = |cause| RegistryError::Io { path: path.to_owned(), cause };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(fail(error)),
        Ok(meta) if meta.len() > MEMORY_FILE => {
            return Err(fail(io::Error::other(format!("it is larger than {MEMORY_FILE} bytes"))));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map_err(fail)
}
