//! Finds what belongs into an archive, one entry at a time: one open folder, and the paths of those still to come.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Stat};

use crate::limits::ZIP_MAX_PENDING;
use crate::root::Root;

/// Something that was found, its path relative to the root.
pub enum Found {
    Folder(PathBuf, Box<Stat>),
    File(PathBuf),
    /// It is there but stays out, and why.
    Skipped(PathBuf, String),
}

/// A walk through a folder and all folders in it. Links to folders are not entered: what is shared stands elsewhere in
/// the share under its own name, and a link to a folder above would have no end.
pub struct Walk {
    root: Arc<Root>,
    open: Option<(Dir, PathBuf)>,
    pending: Vec<PathBuf>,
    pending_bytes: usize,
}

impl Walk {
    /// # Errors
    /// The folder where it begins cannot be opened.
    pub fn new(root: Arc<Root>, start: PathBuf) -> io::Result<Self> {
        let folder = Dir::new(root.open_folder(&start)?)?;
        Ok(Self { root, open: Some((folder, start)), pending: Vec::new(), pending_bytes: 0 })
    }

    fn enter_next(&mut self) -> Option<Found> {
        let path = self.pending.pop()?;
        self.pending_bytes = self.pending_bytes.saturating_sub(path.as_os_str().len());
        match self.root.open_folder(&path).and_then(|folder| Ok(Dir::new(folder)?)) {
            Ok(folder) => {
                self.open = Some((folder, path));
                None
            }
            Err(error) => Some(Found::Skipped(path, error.to_string())),
        }
    }

    fn remember(&mut self, path: PathBuf, stat: Stat) -> Found {
        let length = path.as_os_str().len();
        if self.pending_bytes + length > ZIP_MAX_PENDING {
            return Found::Skipped(path, "too many folders".to_owned());
        }
        self.pending_bytes += length;
        self.pending.push(path.clone());
        Found::Folder(path, Box::new(stat))
    }

    fn look_at(&mut self, path: PathBuf, entry: &rustix::fs::DirEntry) -> Option<Found> {
        let (folder, _) = self.open.as_ref()?;
        let link = entry.file_type() == FileType::Symlink;
        let stat = if link {
            self.root.stat(&path).map_err(|_| "a link to something that is not shared".to_owned())
        } else {
            folder
                .fd()
                .and_then(|fd| rustix::fs::statat(fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW))
                .map_err(|error| error.to_string())
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(why) => return Some(Found::Skipped(path, why)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if link => Some(Found::Skipped(path, "a link to a folder".to_owned())),
            FileType::Directory => Some(self.remember(path, stat)),
            FileType::RegularFile => Some(Found::File(path)),
            _ => None,
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let Some((folder, path)) = &mut self.open else {
                if self.pending.is_empty() {
                    return None;
                }
                match self.enter_next() {
                    Some(skipped) => return Some(skipped),
                    None => continue,
                }
            };
            match folder.read() {
                None => self.open = None,
                Some(Err(error)) => {
                    let path = path.clone();
                    self.open = None;
                    return Some(Found::Skipped(path, error.to_string()));
                }
                Some(Ok(entry)) => {
                    let name = entry.file_name().to_bytes();
                    if matches!(name, b"." | b"..") || !self.root.policy().allows(name) {
                        continue;
                    }
                    let path = join(path, name);
                    if let Some(found) = self.look_at(path, &entry) {
                        return Some(found);
                    }
                }
            }
        }
    }
}

fn join(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}
