use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use doorstep_model::Rotation;

/// A file that lines are added to, and that is set aside when it is full: `NAME.log.1` is the newest of these.
pub(super) struct Rotating {
    path: PathBuf,
    open: Option<(File, u64)>,
}

impl Rotating {
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// # Errors
    /// The system's. The line is lost; the next call tries anew.
    pub fn write(&mut self, line: &str, rotation: &Rotation) -> io::Result<()> {
        let written = self.try_write(line, rotation);
        if written.is_err() {
            // Perhaps half a line was written, or the file is gone: look anew at the next line.
            self.open = None;
        }
        written
    }

    fn try_write(&mut self, line: &str, rotation: &Rotation) -> io::Result<()> {
        let full = |size: u64| size > 0 && size.saturating_add(line.len() as u64) > rotation.max_bytes;
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        if self.open.as_ref().is_some_and(|(_, size)| full(*size)) {
            self.open = None;
            set_aside(&self.path, rotation.keep);
            self.open = Some(open(&self.path)?);
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(line.as_bytes())?;
            *size += line.len() as u64;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn set_aside(path: &Path, keep: usize) {
    let nth = |n: usize| {
        let mut name = path.as_os_str().to_owned();
        if n > 0 {
            name.push(format!(".{n}"));
        }
        PathBuf::from(name)
    };
    // What cannot be renamed is written on; a log that grows is better than one that ends.
    let _ = std::fs::remove_file(nth(keep));
    for n in (0..keep).rev() {
        let _ = std::fs::rename(nth(n), nth(n + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_set_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Rotating::new(dir.path().join("a.log"));
        let rotation = Rotation { max_bytes: 8, keep: 2 };
        for line in ["one.\n", "two.\n", "three\n", "four.\n"] {
            log.write(line, &rotation).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert_eq!(
            (read("a.log"), read("a.log.1"), read("a.log.2")),
            ("four.\n".into(), "three\n".into(), "two.\n".into())
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn none_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Rotating::new(dir.path().join("a.log"));
        let rotation = Rotation { max_bytes: 4, keep: 0 };
        log.write("one.\n", &rotation).unwrap();
        log.write("two.\n", &rotation).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("a.log")).unwrap(), "two.\n");
    }

    #[test]
    fn a_disk_without_room_loses_the_line_only() {
        let mut log = Rotating::new("/dev/full".into());
        assert!(log.write("lost\n", &Rotation { max_bytes: 100, keep: 0 }).is_err());
        assert!(log.write("lost too\n", &Rotation { max_bytes: 100, keep: 0 }).is_err());
    }
}
