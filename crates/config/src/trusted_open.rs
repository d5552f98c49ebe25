//! Opening files for a program that may read more than those who own the folders on the way.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, open, openat, readlinkat};
use rustix::process::geteuid;

use crate::limits::LINKS;

/// Opens a regular file or folder for reading.
///
/// Links are followed where they are root's or ours, or belong to whoever owns the file that they lead to in the end: else the
/// user of an app could let us, who may be root, read what they may not, and find it on their error page or in their environment.
/// A pipe is not waited for, and no device is opened.
///
/// # Errors
/// The system's; `PermissionDenied` for a link of somebody else.
pub(crate) fn open_trusted(path: &Path) -> io::Result<File> {
    let mut rest: VecDeque<OsString> = names(path);
    let mut folders = vec![open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?];
    if path.is_relative() {
        folders.push(open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
    }
    let (mut strangers, mut links) = (Vec::new(), 0);
    let mut file: Option<OwnedFd> = None;
    while let Some(name) = rest.pop_front() {
        if file.take_if(|fd| !is(fd, FileType::Directory)).is_some() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        folders.extend(file.take());
        if name == ".." {
            if folders.len() > 1 {
                folders.pop();
            }
            continue;
        }
        let Some(folder) = folders.last() else { return Err(io::ErrorKind::NotFound.into()) };
        let next = openat(folder, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if !is(&next, FileType::Symlink) {
            file = Some(next);
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::Error::other("too many links lead to one another"));
        }
        let owner = fstat(&next)?.st_uid;
        if owner != 0 && owner != geteuid().as_raw() {
            strangers.push(owner);
        }
        let target = readlinkat(&next, "", Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            folders.truncate(1);
        }
        for name in names(target).into_iter().rev() {
            rest.push_front(name);
        }
    }
    let Some(file) = file.or_else(|| folders.pop()) else { return Err(io::ErrorKind::NotFound.into()) };
    let found = fstat(&file)?;
    if strangers.iter().any(|owner| *owner != found.st_uid) {
        let text = "a link on the way belongs to another user than the file that it leads to";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    reopen(&file)
}

/// What was only found so far. By its name in /proc, which leads to the same file and no other.
fn reopen(file: &OwnedFd) -> io::Result<File> {
    if !is(file, FileType::RegularFile) && !is(file, FileType::Directory) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(openat(CWD, name, flags, Mode::empty())?))
}

fn is(fd: &OwnedFd, kind: FileType) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind)
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from_vec(b"..".to_vec())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    fn text(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        open_trusted(path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn our_links_are_followed_wherever_they_lead() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("archive/one")).unwrap();
        fs::write(at("archive/one/cert.pem"), "x").unwrap();
        fs::create_dir(at("live")).unwrap();
        symlink("../archive/one", at("live/one")).unwrap();
        symlink(at("live/one/cert.pem"), at("c.pem")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for name in ["archive/one/cert.pem", "live/one/cert.pem", "c.pem", "live/../c.pem", "live/one/../one/cert.pem"]
        {
            assert_eq!(text(&at(name)).unwrap(), "x", "{name}");
        }
        assert!(open_trusted(&at("live/one")).unwrap().metadata().unwrap().is_dir());
        for name in ["missing", "c.pem/x", "loop", "live/missing/c.pem"] {
            assert!(open_trusted(&at(name)).is_err(), "{name}");
        }
        assert_eq!(open_trusted(&at("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(open_trusted(Path::new("/..")).unwrap().metadata().unwrap().is_dir());
        assert!(open_trusted(Path::new("Cargo.toml")).is_ok());
    }

    #[test]
    fn nobody_waits_for_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(open_trusted(&pipe).is_err());
    }

    #[test]
    fn a_link_of_another_user_leads_to_their_own_files_only() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("theirs")).unwrap();
        fs::write(at("secret"), "root's").unwrap();
        fs::write(at("theirs/page"), "theirs").unwrap();
        symlink(at("secret"), at("theirs/link")).unwrap();
        symlink("..", at("theirs/up")).unwrap();
        symlink("page", at("theirs/own")).unwrap();
        for name in ["theirs", "theirs/page", "theirs/link", "theirs/up", "theirs/own"] {
            lchown(at(name), Some(4711), Some(4711)).unwrap();
        }
        assert_eq!(text(&at("theirs/own")).unwrap(), "theirs");
        for name in ["theirs/link", "theirs/up/secret"] {
            assert_eq!(text(&at(name)).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{name}");
        }
        assert_eq!(text(&at("theirs/up/theirs/page")).unwrap(), "theirs");
    }
}
