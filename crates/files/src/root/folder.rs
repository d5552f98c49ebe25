//! New entries in an open folder, which never replace anything.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// An open folder beneath a root. Names given to it are single components; all else is refused with `EINVAL`.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Makes an empty file, readable and writable to us.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or as `open(2)`.
    pub fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        Ok(rustix::fs::openat(&self.0, single(name)?, flags, mode)?.into())
    }

    /// Opens a regular file for reading and writing, to go on with it.
    ///
    /// # Errors
    /// As `open(2)`; [`io::ErrorKind::InvalidInput`] for what is no regular file; `ELOOP` for a link.
    pub fn open_to_write(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(&self.0, single(name)?, flags, Mode::empty())?.into();
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(file)
    }

    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or as `mkdir(2)`.
    pub fn create_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, single(name)?, Mode::from_raw_mode(0o777))?)
    }

    /// Renames within the folder and never replaces what is there, also on file systems that cannot do it in one step
    /// (then the file has both names for a moment).
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or as `rename(2)`.
    pub fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (single(from)?, single(to)?);
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                rustix::fs::linkat(&self.0, from, &self.0, to, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(&self.0, from, AtFlags::empty())?)
            }
            result => Ok(result?),
        }
    }

    /// Removes a file; folders are left alone.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, single(name)?, AtFlags::empty())?)
    }

    /// Makes names that were added or renamed survive a power cut. May block for long.
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

impl From<OwnedFd> for Folder {
    fn from(folder: OwnedFd) -> Self {
        Self(folder)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn single(name: &str) -> Result<&str, Errno> {
    let is_single = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_single.then_some(name).ok_or(Errno::INVAL)
}
