use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use doorstep_model::Change;
use serde::{Deserialize, Serialize};

use crate::{make_private_dir, read_private, write_private};

/// The changes that doorstep made outside of its own folder, in `journal.json` in that folder. Nothing is ever taken out: that
/// a change was undone is an entry too. Locked while it is open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    content: Content,
    _lock: File,
}

/// A change, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1.
    pub id: u64,
    /// Seconds since 1970.
    pub at: i64,
    pub change: Change,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    version: u32,
    entries: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Done(Entry),
    Undone { undone: u64, at: i64 },
}

/// The form of the file.
const VERSION: u32 = 1;

impl Journal {
    /// Opens, or begins, the journal of a state folder. Waits for whoever has it open.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidData`] for a file that is no journal, or a later doorstep's.
    pub fn open(state: &Path) -> io::Result<Self> {
        make_private_dir(state)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(state.join("journal.lock"))?;
        lock.lock()?;
        let path = state.join("journal.json");
        let content = match read_private(&path) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content { version: VERSION, ..Content::default() },
            Err(error) => return Err(error),
        };
        if content.version > VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal was written by a later doorstep"));
        }
        Ok(Self { path, content, _lock: lock })
    }

    /// Writes a change down, before it is made: a crash between the two leaves one entry too many, and not one too few.
    ///
    /// # Errors
    /// The system's; the change is then not written down, and must not be made.
    pub fn record(&mut self, change: Change) -> io::Result<u64> {
        let last =
            self.content.entries.iter().map(|line| if let Line::Done(entry) = line { entry.id } else { 0 }).max();
        let id = last.unwrap_or(0) + 1;
        self.append(Line::Done(Entry { id, at: now(), change }))?;
        Ok(id)
    }

    /// Writes down that a change is no more.
    ///
    /// # Errors
    /// The system's.
    pub fn undone(&mut self, id: u64) -> io::Result<()> {
        self.append(Line::Undone { undone: id, at: now() })
    }

    /// The changes that still stand, the last one first: in this order they can be undone.
    pub fn standing(&self) -> Vec<Entry> {
        let gone = |id: u64| {
            self.content.entries.iter().any(|line| matches!(line, Line::Undone { undone, .. } if *undone == id))
        };
        let done = self.content.entries.iter().filter_map(|line| match line {
            Line::Done(entry) if !gone(entry.id) => Some(entry.clone()),
            _ => None,
        });
        let mut standing: Vec<Entry> = done.collect();
        standing.reverse();
        standing
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        self.content.entries.push(line);
        let written = serde_json::to_vec_pretty(&self.content).map_err(io::Error::from);
        written.and_then(|bytes| write_private(&self.path, &bytes)).inspect_err(|_| {
            self.content.entries.pop();
        })
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_known_after_a_restart_and_nothing_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let user = |name: &str| Change::User { name: name.into() };
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.record(user("a")).unwrap(), 1);
        assert_eq!(journal.record(Change::File { path: "/etc/x".into(), text: "x".into() }).unwrap(), 2);
        journal.undone(1).unwrap();
        drop(journal);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.record(user("b")).unwrap(), 3);
        assert_eq!(journal.standing().iter().map(|entry| entry.id).collect::<Vec<_>>(), [3, 2]);
        let text = std::fs::read_to_string(dir.path().join("journal.json")).unwrap();
        assert!(text.contains("\"name\": \"a\"") && text.contains("\"undone\": 1"), "{text}");
    }

    #[test]
    fn a_journal_of_later_or_of_nonsense_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["{\"version\": 2, \"entries\": []}", "nonsense"] {
            write_private(&dir.path().join("journal.json"), text.as_bytes()).unwrap();
            assert_eq!(Journal::open(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read_to_string(dir.path().join("journal.json")).unwrap(), text);
        }
    }
}
