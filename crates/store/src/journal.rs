use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use doorstep_model::{Change, MappingChange, RecordChange};
use serde::{Deserialize, Serialize};

use crate::{make_private_dir, read_private, write_private};

/// The changes that doorstep made outside of its own folder, in `journal.json` in that folder. That a
/// change was undone is an entry too, so that the file tells what happened; only of long ago it does not. Locked while it is open.
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

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Content {
    version: u32,
    entries: Vec<Line>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Done(Entry),
    Undone { undone: u64, at: i64 },
}

/// Lines that are kept; beyond that, what is no more is forgotten.
const REMEMBERED: usize = if cfg!(test) { 40 } else { 1000 };

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
        let change = self.since_the_first(change);
        let mut lines = vec![Line::Done(Entry { id, at: now(), change: change.clone() })];
        // Whoever asks for a port again that somebody who was killed had asked for takes it over.
        let replaced = self.standing().into_iter().filter(|entry| is_same(&entry.change, &change));
        lines.extend(replaced.map(|entry| Line::Undone { undone: entry.id, at: now() }));
        self.append(lines)?;
        Ok(id)
    }

    /// A record that is set again: what was there before doorstep came is what undoing puts back.
    fn since_the_first(&self, change: Change) -> Change {
        let known = self.standing().into_iter().find(|entry| is_same(&entry.change, &change));
        match (change, known.map(|entry| entry.change)) {
            (Change::Record(new), Some(Change::Record(first))) => {
                Change::Record(RecordChange { before: first.before, ..new })
            }
            (change, _) => change,
        }
    }

    /// Writes down that a change is no more.
    ///
    /// # Errors
    /// The system's.
    pub fn undone(&mut self, id: u64) -> io::Result<()> {
        self.append(vec![Line::Undone { undone: id, at: now() }])
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

    fn append(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let mut content = self.content.clone();
        content.entries.extend(lines);
        content.compact();
        let bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::from)?;
        write_private(&self.path, &bytes)?;
        self.content = content;
        Ok(())
    }
}

impl Content {
    /// Forgets the oldest of what is no more, where there is much of it: ports are asked for each time something is shared.
    fn compact(&mut self) {
        if self.entries.len() <= REMEMBERED {
            return;
        }
        let undone: Vec<u64> = self.entries.iter().filter_map(Line::undone).collect();
        let last = self.entries.iter().filter_map(Line::done).map(|entry| entry.id).max();
        let mut left = self.entries.len() - REMEMBERED / 2;
        let mut forgotten = Vec::new();
        self.entries.retain(|line| {
            let gone = match line {
                // Numbers go on from the last one.
                Line::Done(entry) => undone.contains(&entry.id) && Some(entry.id) != last && left > 0,
                Line::Undone { undone, .. } => forgotten.contains(undone),
            };
            if let (true, Line::Done(entry)) = (gone, line) {
                forgotten.push(entry.id);
            }
            left = left.saturating_sub(usize::from(gone));
            !gone
        });
    }
}

impl Line {
    fn done(&self) -> Option<&Entry> {
        if let Self::Done(entry) = self { Some(entry) } else { None }
    }

    fn undone(&self) -> Option<u64> {
        if let Self::Undone { undone, .. } = self { Some(*undone) } else { None }
    }
}

/// Whether the later one takes the place of the earlier one.
fn is_same(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (Change::Mapping(one), Change::Mapping(other)) => {
            let key = |mapping: &MappingChange| {
                (mapping.gateway, mapping.protocol.clone(), mapping.internal, mapping.external_port)
            };
            key(one) == key(other)
        }
        (Change::Record(one), Change::Record(other)) => {
            let key = |record: &RecordChange| {
                [&record.provider, &record.zone, &record.name, &record.record].map(String::clone)
            };
            key(one) == key(other)
        }
        _ => false,
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

    fn mapping(port: u16, internal: &str) -> Change {
        Change::Mapping(MappingChange {
            by: "upnp".into(),
            gateway: "192.0.2.1".parse().unwrap(),
            protocol: "tcp".into(),
            internal: internal.parse().unwrap(),
            external_port: port,
            key: String::new(),
            ends_at: None,
        })
    }

    #[test]
    fn a_port_that_is_asked_for_again_stands_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.record(mapping(443, "192.0.2.10:443")).unwrap();
        let other = journal.record(mapping(443, "192.0.2.11:443")).unwrap();
        let again = journal.record(mapping(443, "192.0.2.10:443")).unwrap();
        drop(journal);
        let standing = Journal::open(dir.path()).unwrap().standing();
        assert_eq!(standing.iter().map(|entry| entry.id).collect::<Vec<_>>(), [again, other]);
    }

    #[test]
    fn a_record_that_is_set_again_stands_once_with_what_was_there_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let record = |name: &str, value: &str, before: &str| {
            Change::Record(RecordChange {
                provider: "rfc2136".into(),
                zone: "example.com".into(),
                name: name.into(),
                record: "A".into(),
                values: vec![value.into()],
                before: vec![before.into()],
                config: None,
            })
        };
        journal.record(record("a.example.com", "192.0.2.1", "192.0.2.77")).unwrap();
        let other = journal.record(record("b.example.com", "192.0.2.1", "192.0.2.78")).unwrap();
        let again = journal.record(record("a.example.com", "192.0.2.2", "192.0.2.1")).unwrap();
        let standing = journal.standing();
        assert_eq!(standing.iter().map(|entry| entry.id).collect::<Vec<_>>(), [again, other]);
        assert_eq!(standing[0].change, record("a.example.com", "192.0.2.2", "192.0.2.77"));
    }

    #[test]
    fn what_is_no_more_is_forgotten_after_a_while_and_what_stands_never() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let first = journal.record(mapping(1, "192.0.2.10:1")).unwrap();
        for _ in 0..REMEMBERED {
            let id = journal.record(mapping(443, "192.0.2.10:443")).unwrap();
            journal.undone(id).unwrap();
        }
        assert!(journal.content.entries.len() <= REMEMBERED);
        drop(journal);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.standing().iter().map(|entry| entry.id).collect::<Vec<_>>(), [first]);
        assert_eq!(journal.record(mapping(2, "192.0.2.10:2")).unwrap(), REMEMBERED as u64 + 2);
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
