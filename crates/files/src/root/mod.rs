//! The folder that is shared, and the only way to anything in it.
//!
//! Every path is resolved beneath the root: `..`, links that lead out, and races with renames cannot leave it.
//! Links that stay inside work, also absolute ones.

mod beneath;
mod folder;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::FilesError;
use crate::policy::Policy;
pub use folder::Folder;

/// An open folder and what may be seen of it.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    /// Without links; what an absolute link must begin with to be inside.
    path: PathBuf,
    policy: Policy,
    /// Whether `openat2` may be used: not before Linux 5.6, nor in some containers.
    openat2: bool,
}

impl Root {
    /// # Errors
    /// The folder is not there, is no folder or may not be read.
    pub fn open(path: &Path, policy: Policy) -> Result<Self, FilesError> {
        Self::open_as(path, policy, OFlags::RDONLY)
    }

    /// The folder that a file is in, and the file's path beneath it. Of the folder nothing else can be read.
    ///
    /// # Errors
    /// The file is not there, or may not be reached.
    pub fn around(file: &Path) -> Result<(Self, PathBuf), FilesError> {
        let real = file.canonicalize().map_err(|error| FilesError::opening(file, error))?;
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(FilesError::NotAFile { path: file.to_owned() });
        };
        Ok((Self::open_as(folder, Policy::default(), OFlags::PATH)?, PathBuf::from(name)))
    }

    fn open_as(path: &Path, policy: Policy, access: OFlags) -> Result<Self, FilesError> {
        let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || Ok((rustix::fs::open(path, flags, Mode::empty())?, path.canonicalize()?));
        let (folder, path) = open().map_err(|error| FilesError::opening(path, error))?;
        let openat2 = beneath::openat2_works(&folder);
        Ok(Self { folder, path, policy, openat2 })
    }

    /// Where the folder was when it was opened; for words on screens, never for opening anything.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Opens a file for reading. `relative` is relative to the root. Never waits for a pipe or a device.
    /// The policy is not asked: see [`Policy::allows_path`].
    ///
    /// # Errors
    /// As `open(2)`; `EXDEV` ([`io::ErrorKind::CrossesDevices`]) for what leads out of the root;
    /// [`io::ErrorKind::IsADirectory`] or [`io::ErrorKind::InvalidInput`] for what is no regular file.
    pub fn open_file(&self, relative: &Path) -> io::Result<(File, Stat)> {
        let file = File::from(self.resolve(relative, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((file, stat)),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder")),
        }
    }

    /// Opens a folder for reading its entries, and for making new ones in it (see [`Folder`]). Empty is the root itself.
    ///
    /// # Errors
    /// As [`Root::open_file`]; [`io::ErrorKind::NotADirectory`] for what is no folder.
    pub fn open_folder(&self, relative: &Path) -> io::Result<OwnedFd> {
        self.resolve(relative, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// What stands at a path, links followed as far as they stay beneath the root. Works on what may not be read.
    ///
    /// # Errors
    /// As [`Root::open_file`].
    pub fn stat(&self, relative: &Path) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.resolve(relative, OFlags::PATH)?)?)
    }

    fn resolve(&self, relative: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(beneath::open(&self.folder, &self.path, relative, flags | OFlags::CLOEXEC, self.openat2)?)
    }
}

#[cfg(test)]
mod tests;
