//! Whether a file that the configuration names may have changed, found out without reading it: with a thousand
//! certificates, reading them all every few seconds would be most of what an idle daemon does.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::limits::FILE_UNSETTLED;

/// What the system said of each file when it was looked at last.
#[derive(Debug, Default)]
pub struct Stamps {
    seen: HashMap<PathBuf, Option<Stamp>>,
    /// Some file had been written to just before: it may have changed again within the same tick of its clock.
    unsettled: bool,
}

/// What differs when a file does (stat(2)).
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    /// Whether any of the files may be another than when this was asked last; also the first time. Files that are not
    /// there are as good as others: they may come.
    pub fn may_differ<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) -> bool {
        let seen: HashMap<PathBuf, Option<Stamp>> = paths.map(|path| (path.to_owned(), Stamp::of(path))).collect();
        let differ = self.unsettled || seen != self.seen;
        let since = SystemTime::now()
            .checked_sub(FILE_UNSETTLED)
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since = since.as_ref().map_or(i64::MAX, |since: &Duration| since.as_secs().cast_signed());
        self.unsettled = seen.values().flatten().any(|stamp| stamp.changed.0 >= since);
        self.seen = seen;
        differ
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let of = fs::metadata(path).ok()?;
        Some(Self {
            place: (of.dev(), of.ino()),
            size: of.size(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        let mut stamps = Stamps::default();
        let mut looks = |before: fn(&Path)| {
            before(&file);
            let differ = stamps.may_differ([file.as_path()].into_iter());
            // As if enough time had passed for the file's clock to go on.
            stamps.unsettled = false;
            differ
        };
        assert!(looks(|_| ()), "the first time");
        assert!(!looks(|_| ()));
        assert!(looks(|file| fs::write(file, "one").unwrap()), "made");
        assert!(!looks(|_| ()));
        assert!(looks(|file| fs::write(file, "longer").unwrap()), "another size");
        assert!(looks(|file| fs::rename(file, file.with_extension("old")).unwrap()), "gone");
        assert!(!looks(|_| ()));
    }

    #[test]
    fn a_file_that_was_written_just_now_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        fs::write(&file, "one").unwrap();
        let mut stamps = Stamps::default();
        assert!(stamps.may_differ([file.as_path()].into_iter()));
        assert!(stamps.may_differ([file.as_path()].into_iter()));
    }
}
