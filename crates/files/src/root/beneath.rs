//! Opening a path beneath a folder without ever leaving it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits::{MAX_LINKS, MAX_PATH, MAX_RESOLVE_TRIES};

/// Whether kernel and sandbox let us use `openat2` (openat2(2)).
pub fn openat2_works(folder: &OwnedFd) -> bool {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).is_ok()
}

/// Opens `relative` beneath `folder`, whose real path is `real`. The kernel does it in one call where `openat2` works.
///
/// # Errors
/// As `open(2)`; `EXDEV` for what leads out, and for any `..` in `relative`, wherever it leads.
pub fn open(folder: &OwnedFd, real: &Path, relative: &Path, flags: OFlags, openat2: bool) -> Result<OwnedFd, Errno> {
    if relative.as_os_str().len() >= MAX_PATH {
        return Err(Errno::NAMETOOLONG);
    }
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(Errno::XDEV);
    }
    if !openat2 {
        return Walk::new(folder, real, flags).run(relative);
    }
    let whole = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..MAX_RESOLVE_TRIES {
        match rustix::fs::openat2(folder, whole, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The kernel takes every absolute link for one that leads out; some do not.
            Err(Errno::XDEV) => return Walk::new(folder, real, flags).run(relative),
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// The same, one component at a time. Each step opens a single name in a folder already held and follows no link by
/// itself; links are read and their text walked, and `..` goes back to the folder that was held before. So there is no
/// name, and no moment, at which the walk could be outside.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    real: &'a Path,
    flags: OFlags,
    /// Folders from the root's child down to where the walk is.
    held: Vec<OwnedFd>,
    /// Components still to go, the next one last.
    ahead: Vec<OsString>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a OwnedFd, real: &'a Path, flags: OFlags) -> Self {
        Self { root: root.as_fd(), real, flags, held: Vec::new(), ahead: Vec::new(), links: 0 }
    }

    fn run(mut self, relative: &Path) -> Result<OwnedFd, Errno> {
        self.push(relative);
        while let Some(name) = self.ahead.pop() {
            if name == ".." {
                self.held.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            match rustix::fs::readlinkat(self.here(), name.as_os_str(), Vec::new()) {
                Ok(target) => self.follow(OsString::from_vec(target.into_bytes()))?,
                Err(Errno::INVAL) if self.ahead.is_empty() => return self.arrive(&name),
                Err(Errno::INVAL) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let next = rustix::fs::openat(self.here(), name.as_os_str(), flags, Mode::empty())?;
                    self.held.push(next);
                }
                Err(error) => return Err(error),
            }
        }
        self.arrive(OsStr::new("."))
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.held.last().map_or(self.root, AsFd::as_fd)
    }

    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(names);
    }

    fn follow(&mut self, target: OsString) -> Result<(), Errno> {
        self.links += 1;
        let waiting: usize = self.ahead.iter().map(|name| name.len() + 1).sum();
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        if waiting + target.len() >= MAX_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        let target = Path::new(&target);
        if target.is_absolute() {
            // A `..` in it would be resolved textually here and by the kernel differently, so it counts as leading out.
            let inside = target.strip_prefix(self.real).map_err(|_| Errno::XDEV)?;
            if inside.components().any(|part| part == Component::ParentDir) {
                return Err(Errno::XDEV);
            }
            self.held.clear();
            self.push(inside);
        } else {
            self.push(target);
        }
        Ok(())
    }

    fn arrive(&self, name: &OsStr) -> Result<OwnedFd, Errno> {
        let opened = rustix::fs::openat(self.here(), name, self.flags | OFlags::NOFOLLOW, Mode::empty())?;
        // With O_PATH a name that has become a link since it was looked at opens as the link itself.
        let is_link = || Ok(FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) == FileType::Symlink);
        if self.flags.contains(OFlags::PATH) && is_link()? { Err(Errno::LOOP) } else { Ok(opened) }
    }
}
