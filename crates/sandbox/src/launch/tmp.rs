//! A temporary folder of a program's own.

use std::ffi::CStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::child::Reports;
use crate::error::cause;
use crate::identity::Identity;
use crate::{Note, Refusal, Step};

pub(super) enum Tmp {
    /// It is `/tmp` and `/var/tmp` for this process.
    Mounted,
    /// `TMPDIR` names it.
    Named(PathBuf),
}

impl Tmp {
    /// Where the program finds it.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Mounted => Path::new("/tmp"),
            Self::Named(folder) => folder,
        }
    }

    pub(super) fn variable(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Mounted => None,
            Self::Named(folder) => Some(("TMPDIR", folder.to_string_lossy().into_owned())),
        }
    }
}

/// Makes `folder` the program's own temporary one.
pub(super) fn provide(folder: &Path, identity: &Identity, reports: &mut Reports) -> Result<Tmp, Refusal> {
    make(folder, identity).map_err(|error| {
        let what = format!("the temporary folder {} cannot be made: {}", folder.display(), cause(&error));
        Refusal::new(Step::PrivateTmp, what, "")
    })?;
    if rustix::process::geteuid().is_root() && mount(folder).is_ok() {
        return Ok(Tmp::Mounted);
    }
    reports.note(Note::SharedTmp { folder: folder.to_owned() });
    Ok(Tmp::Named(folder.to_owned()))
}

fn make(folder: &Path, identity: &Identity) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // By its descriptor, and never by a link: what is given away is the folder and nothing else.
    let dir: File = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(folder)?;
    if identity.changes() {
        let (uid, gid) = identity.ids();
        std::os::unix::fs::fchown(&dir, Some(uid), Some(gid))?;
    }
    dir.set_permissions(Permissions::from_mode(0o700))
}

fn mount(folder: &Path) -> io::Result<()> {
    // SAFETY: takes a number; this process has one thread.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // What the system mounts later shows up here; what is mounted here shows up nowhere else.
    call_mount(None, c"/", libc::MS_REC | libc::MS_SLAVE)?;
    let folder = std::ffi::CString::new(folder.as_os_str().as_bytes())?;
    call_mount(Some(&folder), c"/tmp", libc::MS_BIND)?;
    // By its new place: the old one may lie in what is now hidden. Some systems have no /var/tmp.
    let _ = call_mount(Some(c"/tmp"), c"/var/tmp", libc::MS_BIND);
    Ok(())
}

fn call_mount(source: Option<&CStr>, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let source = source.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings live and end with a zero; a kind and data are not wanted for these flags.
    done(unsafe { libc::mount(source, target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
}

fn done(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
