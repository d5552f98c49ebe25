//! The folder that is shared, and the only way to anything in it.
//!
//! Every path is resolved by the kernel beneath the root (`openat2` with `RESOLVE_BENEATH`), so that no `..`, link or
//! race with a rename leads out. Where the kernel or a sandbox does not know `openat2`, each folder on the way is opened
//! by itself and links are not followed at all.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::policy::Policy;

/// An open folder and what may be seen of it.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    path: PathBuf,
    policy: Policy,
}

impl Root {
    /// # Errors
    /// The folder is not there, is no folder or may not be opened.
    pub fn open(path: &Path, policy: Policy) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { folder, path: path.to_owned(), policy })
    }

    /// Where the folder was when it was opened; for words on screens, never for opening anything.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Opens a file for reading. `relative` is relative to the root, empty for the root itself.
    /// The policy is not asked: see [`Policy::allows_path`].
    ///
    /// # Errors
    /// As `open(2)`, and [`io::ErrorKind::IsADirectory`] or [`io::ErrorKind::InvalidInput`] for what is no regular file
    /// (a pipe or a device would hang whoever reads it).
    pub fn open_file(&self, relative: &Path) -> io::Result<(File, Stat)> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(beneath(self.folder.as_fd(), relative, flags)?);
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((file, stat)),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder")),
        }
    }

    /// Opens a folder for reading its entries, and for making new ones in it.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open_folder(&self, relative: &Path) -> io::Result<OwnedFd> {
        beneath(self.folder.as_fd(), relative, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// What stands at a path, links followed as far as they stay beneath the root.
    ///
    /// # Errors
    /// As `open(2)`; `EXDEV` for a link that leads out.
    pub fn stat(&self, relative: &Path) -> io::Result<Stat> {
        let handle = beneath(self.folder.as_fd(), relative, OFlags::PATH)?;
        Ok(rustix::fs::fstat(handle)?)
    }
}

/// A rename elsewhere on the way makes the kernel unsure and answer EAGAIN; it is asked this often.
const TRIES: usize = 16;

/// Opens `relative` beneath `folder` without ever leaving it.
fn beneath(folder: BorrowedFd<'_>, relative: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match rustix::fs::openat2(folder, relative, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(folder, relative, flags),
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// The same without `openat2`: one component at a time, following no link.
fn step_by_step(folder: BorrowedFd<'_>, relative: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here: Option<OwnedFd> = None;
    let mut components = relative.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => Path::new(name),
            Component::CurDir => Path::new("."),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV.into()),
        };
        let last = components.peek().is_none();
        let at = here.as_ref().map_or(folder, AsFd::as_fd);
        let flags = if last { flags | OFlags::NOFOLLOW } else { way };
        let next = rustix::fs::openat(at, name, flags, Mode::empty())?;
        if last && FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP.into());
        }
        here = Some(next);
    }
    here.ok_or_else(|| Errno::NOENT.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn shared() -> (tempfile::TempDir, Root) {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("shared");
        std::fs::create_dir_all(inner.join("sub")).unwrap();
        std::fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(inner.join("sub/a.txt"), "a").unwrap();
        symlink("sub/a.txt", inner.join("inside")).unwrap();
        symlink("../secret.txt", inner.join("outside")).unwrap();
        symlink("/etc/passwd", inner.join("absolute")).unwrap();
        symlink("..", inner.join("up")).unwrap();
        let root = Root::open(&inner, Policy::default()).unwrap();
        (outer, root)
    }

    type Opener = fn(BorrowedFd<'_>, &Path, OFlags) -> io::Result<OwnedFd>;

    #[test]
    fn nothing_leads_out() {
        let (_outer, root) = shared();
        for open in [beneath as Opener, step_by_step] {
            for path in ["../secret.txt", "outside", "absolute", "up/secret.txt", "/etc/passwd", "sub/../../secret.txt"]
            {
                assert!(open(root.folder.as_fd(), Path::new(path), OFlags::RDONLY).is_err(), "{path}");
            }
            assert!(open(root.folder.as_fd(), Path::new("sub/a.txt"), OFlags::RDONLY).is_ok());
            assert!(open(root.folder.as_fd(), Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY).is_ok());
        }
    }

    #[test]
    fn links_that_stay_inside_are_followed() {
        let (_outer, root) = shared();
        assert_eq!(root.open_file(Path::new("inside")).unwrap().1.st_size, 1);
        assert_eq!(root.stat(Path::new("inside")).unwrap().st_size, 1);
    }

    #[test]
    fn only_regular_files_are_read() {
        let (outer, root) = shared();
        rustix::fs::mknodat(rustix::fs::CWD, outer.path().join("shared/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(root.open_file(Path::new("pipe")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(root.open_file(Path::new("sub")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(root.open_file(Path::new("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
