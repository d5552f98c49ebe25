//! From a request's path to what stands there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::root::Root;
use crate::stamp::Stamp;

/// What a path leads to.
pub enum Found {
    File(Opened),
    /// A folder to be listed: its path beneath the root without slashes at its ends.
    Folder(String),
    /// A folder asked for without its final slash, so that relative links in it would be wrong.
    Redirect,
}

/// A regular file, open.
pub struct Opened {
    pub file: Arc<File>,
    pub stamp: Stamp,
    /// Its path beneath the root.
    pub relative: String,
}

/// Why there is nothing to send.
#[derive(Debug)]
pub enum Refusal {
    /// Not there, not to be seen, leads out of the root, or no regular file: all the same to a visitor.
    NotFound,
    Forbidden,
    /// This computer has run out of something for the moment.
    Busy,
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => Self::NotFound,
            io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => match Errno::from_io_error(&error) {
                Some(Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV) => Self::NotFound,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Self::Busy,
                _ => Self::Failed(error),
            },
        }
    }
}

/// Opens what the canonical `path` of a request names, `index.html` in place of its folder where `with_index`.
pub fn find(root: &Root, path: &str, with_index: bool) -> Result<Found, Refusal> {
    let relative = path.trim_matches('/');
    // A path that is not canonical has an unknown meaning.
    if !path.starts_with('/') || !root.policy().allows_path(Path::new(relative)) {
        return Err(Refusal::NotFound);
    }
    if !path.ends_with('/') {
        return match open(root, relative.to_owned()) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Found::Redirect),
            opened => Ok(Found::File(opened?)),
        };
    }
    if with_index {
        let index = if relative.is_empty() { "index.html".to_owned() } else { format!("{relative}/index.html") };
        match open(root, index).map_err(Refusal::from) {
            Ok(opened) => return Ok(Found::File(opened)),
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let stat = root.stat(Path::new(relative))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(Found::Folder(relative.to_owned())),
        _ => Err(Refusal::NotFound),
    }
}

/// Opens a regular file. The policy is not asked.
pub fn open(root: &Root, relative: String) -> io::Result<Opened> {
    let (file, stat) = root.open_file(Path::new(&relative))?;
    Ok(Opened { file: Arc::new(file), stamp: Stamp::of(&stat), relative })
}

impl Opened {
    /// The last component of its path.
    pub fn name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or_default()
    }
}
