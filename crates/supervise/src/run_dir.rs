//! Sockets, pipes and ports of instances. Folders belong to the apps' users, so nothing in them is trusted: no link is followed.

use std::io;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use doorstep_model::AppListen;
use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid};

use crate::Identity;
use crate::journal::Addr;
use crate::limits;

/// The folder that holds all apps' folders; everybody may pass through it.
///
/// # Errors
/// The system's.
pub(crate) fn make_base(run_dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(run_dir.join("apps"))
}

/// The folder of one app, its user's; `group` may reach the sockets in it.
///
/// # Errors
/// The system's.
pub(crate) fn make_app_dir(run_dir: &Path, name: &str, owner: &Identity, group: Option<u32>) -> io::Result<PathBuf> {
    let dir = run_dir.join("apps").join(name);
    make_owned_dir(&dir, owner, group.unwrap_or(owner.gid), Mode::from_raw_mode(0o710))?;
    Ok(dir)
}

/// Makes a folder, if it is not there, and gives it to somebody. Its parent must not be theirs.
///
/// # Errors
/// The system's; `NotADirectory` where a link or file has the name.
pub(crate) fn make_owned_dir(dir: &Path, owner: &Identity, group: u32, mode: Mode) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = rustix::fs::open(dir, flags, Mode::empty())?;
    if rustix::process::geteuid().is_root() {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(group)))?;
    }
    rustix::fs::fchmod(&fd, mode)?;
    Ok(())
}

/// A folder of ours that everybody may pass through.
///
/// # Errors
/// The system's.
pub(crate) fn make_shared_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)
}

/// Lets other users pass through our private folder to one of theirs in it; they still cannot see what else is there.
///
/// # Errors
/// The system's.
pub(crate) fn let_pass(dir: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(dir)?.permissions().mode();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode | 0o011))
}

/// Where a new instance listens.
///
/// # Errors
/// `InvalidInput` where the path of the socket would be too long; no free port.
pub(crate) fn address(listen: AppListen, dir: &Path, id: &str, taken: &[u16]) -> io::Result<Addr> {
    match listen {
        AppListen::Socket => {
            let path = dir.join(format!("{id}.sock"));
            if path.as_os_str().as_bytes().len() > limits::SOCKET_PATH {
                let text = format!("the path of its socket is too long for the system: {}", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let _ = std::fs::remove_file(&path);
            Ok(Addr::Socket(path))
        }
        AppListen::Port => free_port(taken).map(Addr::Port),
        AppListen::Nothing => Ok(Addr::Nowhere),
    }
}

fn free_port(taken: &[u16]) -> io::Result<u16> {
    // Held while others are tried, so that the same one is not given again.
    let mut held = Vec::new();
    for _ in 0..=taken.len() {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        if !taken.contains(&port) {
            return Ok(port);
        }
        held.push(listener);
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Lets everybody who can reach its folder connect to an app's socket, whatever the app's umask is.
///
/// # Errors
/// `NotFound` before it is there; `PermissionDenied` where the name is somebody else's file or no socket.
pub(crate) fn open_socket(path: &Path, uid: u32) -> io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    // One of root's with a second name here would else be opened to everybody, where links are not protected (proc_sys_fs(5)).
    if !is_socket || stat.st_uid != uid || stat.st_nlink != 1 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if stat.st_mode & 0o666 != 0o666 {
        use std::os::fd::AsRawFd as _;
        // A descriptor opened by O_PATH is changed through its name in /proc, which leads to the same file and no other.
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::chmodat(CWD, name, Mode::from_raw_mode(0o666), rustix::fs::AtFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::{PlainSpawn, Spawn as _};

    #[test]
    fn a_link_does_not_lead_us_to_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let link = dir.path().join("a.sock");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert!(open_socket(&link, uid).is_err() && open_socket(&secret, uid).is_err());
        assert_eq!(std::fs::metadata(&secret).unwrap().mode() & 0o777, 0o600);

        let socket = dir.path().join("b.sock");
        assert_eq!(open_socket(&socket, uid).unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o700)).unwrap();
        open_socket(&socket, uid).unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o666, 0o666);
        assert!(open_socket(&socket, uid + 1).is_err(), "of another user");
        std::fs::hard_link(&socket, dir.path().join("c.sock")).unwrap();
        assert!(open_socket(&dir.path().join("c.sock"), uid).is_err(), "of two names");
    }

    #[test]
    fn folders_are_not_made_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let me = PlainSpawn.identity(&doorstep_model::Exec::default()).unwrap();
        make_base(dir.path()).unwrap();
        let app = make_app_dir(dir.path(), "blog", &me, None).unwrap();
        make_app_dir(dir.path(), "blog", &me, None).unwrap();
        assert_eq!(std::fs::metadata(&app).unwrap().mode() & 0o777, 0o710);
        std::os::unix::fs::symlink("/tmp", dir.path().join("apps/evil")).unwrap();
        assert!(make_app_dir(dir.path(), "evil", &me, None).is_err());
    }

    #[test]
    fn a_long_path_is_refused_in_words() {
        let error = address(AppListen::Socket, Path::new(&format!("/{}", "x".repeat(110))), "1-1", &[]).unwrap_err();
        assert!(error.to_string().contains("too long"));
    }
}
