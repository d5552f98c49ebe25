use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use doorstep_model::Rotation;

/// A file that lines are appended to.
///
/// Another doorstep may append to the same file (the old one drains while the new one serves), and whoever looks after
/// logs may move it away: before each write the name is looked at, and followed.
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    open: Option<Open>,
}

struct Open {
    file: File,
    device: u64,
    inode: u64,
    /// The last write broke off within a line.
    torn: bool,
}

/// Why lines were not written, and how many.
#[derive(Debug)]
pub(super) struct Lost {
    pub error: io::Error,
    pub lines: u64,
}

impl LogFile {
    /// Opens `path` for appending, readable by its owner and group if it is new.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        Ok(Self { open: Some(Open::at(path)?), path: path.to_owned(), rotation })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it anew at the next write.
    pub(super) fn reopen(&mut self) {
        self.open = None;
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// The system's, and how many lines are missing for it. The next call tries anew.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let open = self.ready(lines.len() as u64).map_err(|error| Lost { error, lines: count(lines) })?;
        if open.torn {
            open.file.write_all(b"\n").map_err(|error| Lost { error, lines: count(lines) })?;
            open.torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match open.file.write(rest) {
                Ok(0) => return Err(open.broke_off(lines, rest, io::ErrorKind::WriteZero.into())),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(open.broke_off(lines, rest, error)),
            }
        }
        Ok(())
    }

    /// The file that the name leads to, with room for `more` bytes.
    fn ready(&mut self, more: u64) -> io::Result<&mut Open> {
        let here = std::fs::metadata(&self.path).ok();
        let same = |open: &Open| here.as_ref().is_some_and(|at| (at.dev(), at.ino()) == (open.device, open.inode));
        self.open = self.open.take().filter(same);
        let full = |size: u64, rotation: &Rotation| size > 0 && size.saturating_add(more) > rotation.max_bytes;
        if let (Some(at), Some(rotation)) = (&here, &self.rotation)
            && full(at.len(), rotation)
            && set_aside(&self.path, rotation.keep)
        {
            self.open = None;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            empty => Ok(empty.insert(Open::at(&self.path)?)),
        }
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let at = file.metadata()?;
        Ok(Self { file, device: at.dev(), inode: at.ino(), torn: false })
    }

    fn broke_off(&mut self, lines: &[u8], rest: &[u8], error: io::Error) -> Lost {
        let written = lines.get(..lines.len() - rest.len()).unwrap_or_default();
        self.torn = written.last().is_some_and(|byte| *byte != b'\n');
        Lost { error, lines: count(rest) }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Renames `access.log` to `access.log.1`, that to `access.log.2`, and so on; the oldest goes. Where that fails the file
/// is written on: a log that grows is better than one that ends.
fn set_aside(path: &Path, keep: usize) -> bool {
    let nth = |n: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    if keep == 0 {
        return std::fs::remove_file(path).is_ok();
    }
    for n in (1..keep).rev() {
        let _ = std::fs::rename(nth(n), nth(n + 1));
    }
    std::fs::rename(path, nth(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::read_to_string;

    use super::*;

    fn rotation(max_bytes: u64, keep: usize) -> Option<Rotation> {
        Some(Rotation { max_bytes, keep })
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, rotation(8, 2)).unwrap();
        for line in ["one.\n", "two.\n", "three\n", "a line that is longer\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(read_to_string(&path).unwrap(), "a line that is longer\n");
        assert_eq!(read_to_string(folder.path().join("a.log.1")).unwrap(), "three\n");
        assert_eq!(read_to_string(folder.path().join("a.log.2")).unwrap(), "two.\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn none_is_kept_where_none_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, rotation(8, 0)).unwrap();
        log.write(b"one.\n").unwrap();
        log.write(b"two.\n").unwrap();
        assert_eq!(read_to_string(&path).unwrap(), "two.\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_processes_may_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut old = LogFile::open(&path, rotation(15, 3)).unwrap();
        let mut new = LogFile::open(&path, rotation(15, 3)).unwrap();
        for n in 0..3 {
            old.write(format!("old {n}\n").as_bytes()).unwrap();
            new.write(format!("new {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(read_to_string(&path).unwrap(), "old 2\nnew 2\n");
        assert_eq!(read_to_string(folder.path().join("a.log.2")).unwrap(), "old 0\nnew 0\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("a.log"), folder.path().join("moved"));
        let mut log = LogFile::open(&path, None).unwrap();
        log.write(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        log.write(b"two\n").unwrap();
        assert_eq!((read_to_string(&moved).unwrap(), read_to_string(&path).unwrap()), ("one\n".into(), "two\n".into()));
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many() {
        let mut log = LogFile::open(Path::new("/dev/full"), None).unwrap();
        let lost = log.write(b"one\ntwo\n").unwrap_err();
        assert_eq!((lost.lines, lost.error.kind()), (2, io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_torn_line_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = LogFile::open(&path, None).unwrap();
        let open = log.open.as_mut().unwrap();
        open.file.write_all(b"one\ntw").unwrap();
        let lost = open.broke_off(b"one\ntwo\nthree\n", b"o\nthree\n", io::ErrorKind::StorageFull.into());
        assert_eq!(lost.lines, 2);
        log.write(b"four\n").unwrap();
        assert_eq!(read_to_string(&path).unwrap(), "one\ntw\nfour\n");
    }
}
