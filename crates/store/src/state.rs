use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use doorstep_model::Blame;

use crate::{make_private_dir, write_public};

/// The layout that this program writes. A folder of a later one is left alone.
const VERSION: u32 = 1;

/// The folder that one running daemon owns: locked against a second one, its layout's version known.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: File,
}

/// Why the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("another doorstep{} works with {path}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("{path} was written by a later doorstep (layout {found}; this one knows {VERSION})")]
    TooNew { path: PathBuf, found: u32 },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl StateError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Locked { .. } => {
                "Stop it with `doorstep stop`, or give this one another folder by `state` in [daemon]."
            }
            Self::TooNew { .. } => {
                "Install the later version again, or give this one another folder by `state` in [daemon]."
            }
            Self::Io { .. } => "",
        }
    }
}

/// Where a daemon keeps its state by default: `/var/lib/doorstep` for root, else [`user_state_dir`].
pub fn default_state_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/doorstep".into());
    }
    user_state_dir()
}

/// Where this user's programs keep their state: `$XDG_STATE_HOME/doorstep`, else `~/.local/state/doorstep` (XDG Base
/// Directory Specification). `None` if there is no home.
pub fn user_state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(base.join("doorstep"))
}

impl StateDir {
    /// Makes the folder if need be, and locks it until this value is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError::Io { path: path.to_owned(), source };
        make_private_dir(path).map_err(fail)?;
        let lock_path = path.join("lock");
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = lock.read_to_string(&mut text);
                return Err(StateError::Locked { path: path.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(fail)?;
        // Only for the words of an error: a full disk must not keep a daemon from starting.
        let _ = writeln!(lock, "{}", std::process::id());
        let version = path.join("version");
        match std::fs::read_to_string(&version).map(|text| text.trim().parse()) {
            Ok(Ok(found)) if found > VERSION => return Err(StateError::TooNew { path: path.to_owned(), found }),
            Ok(Ok(_)) => {}
            _ => write_public(&version, format!("{VERSION}\n").as_bytes()).map_err(fail)?,
        }
        Ok(Self { path: path.to_owned(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The locked file: a process that inherits it holds the lock too (a new binary that takes over).
    pub fn lock(&self) -> &File {
        &self.lock
    }

    /// Takes a lock over that the process before this one, of the same number, handed on.
    pub fn inherited(path: &Path, lock: File) -> Self {
        Self { path: path.to_owned(), lock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_daemon_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::open(&path).unwrap();
        let pid = std::process::id();
        assert!(matches!(StateDir::open(&path), Err(StateError::Locked { pid: Some(owner), .. }) if owner == pid));
        drop(first);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn a_later_layout_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("version"), "99\n").unwrap();
        assert!(matches!(StateDir::open(dir.path()), Err(StateError::TooNew { found: 99, .. })));
        assert_eq!(std::fs::read_to_string(dir.path().join("version")).unwrap(), "99\n");
    }
}
