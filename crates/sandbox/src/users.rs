//! Users and groups of this computer: those of `/etc/passwd` and those of a directory (LDAP), as the C library finds them.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::limits::USER_ENTRY_BYTES;

/// The user of this name, or of this number if there is no such name. `None`: there is no such user.
///
/// # Errors
/// When the database cannot be asked.
pub fn find(name_or_id: &str) -> io::Result<Option<User>> {
    User::find(name_or_id)
}

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    /// The user's own group.
    pub gid: u32,
    pub home: PathBuf,
    pub shell: PathBuf,
}

impl User {
    /// By name, or by number if there is no such name. `None`: there is no such user.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub fn find(name_or_id: &str) -> io::Result<Option<Self>> {
        if let Some(user) = Self::named(name_or_id)? {
            return Ok(Some(user));
        }
        match name_or_id.parse() {
            Ok(uid) => Self::by_id(uid),
            Err(_) => Ok(None),
        }
    }

    /// The user with this number.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub fn by_id(uid: u32) -> io::Result<Option<Self>> {
        // SAFETY: a passwd is plain pointers and numbers, for which zeros are valid.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        look_up(|buffer| {
            let mut found = std::ptr::null_mut();
            // SAFETY: every pointer is to a live value, and the length is that of the buffer.
            let code = unsafe {
                libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found)
            };
            // SAFETY: it was found, so that its strings are in the buffer, which still lives.
            (code, (!found.is_null()).then(|| unsafe { user_of(&entry) }))
        })
    }

    /// Whoever this process runs as; without an entry in the database, the number is its name.
    pub fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self::by_id(uid).ok().flatten().unwrap_or_else(|| Self::unknown(uid, gid))
    }

    /// Somebody whom the database does not know.
    pub(crate) fn unknown(uid: u32, gid: u32) -> Self {
        Self { name: uid.to_string(), uid, gid, home: "/".into(), shell: "/bin/sh".into() }
    }

    fn named(name: &str) -> io::Result<Option<Self>> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        // SAFETY: a passwd is plain pointers and numbers, for which zeros are valid.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        look_up(|buffer| {
            let mut found = std::ptr::null_mut();
            // SAFETY: every pointer is to a live value, and the length is that of the buffer.
            let code = unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    &raw mut entry,
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            // SAFETY: it was found, so that its strings are in the buffer, which still lives.
            (code, (!found.is_null()).then(|| unsafe { user_of(&entry) }))
        })
    }
}

/// The number of a group, by its name, or the number itself.
///
/// # Errors
/// When the database cannot be asked.
pub fn group_id(name_or_id: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name_or_id) else { return Ok(None) };
    // SAFETY: a group is plain pointers and numbers, for which zeros are valid.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let found = look_up(|buffer| {
        let mut found = std::ptr::null_mut();
        // SAFETY: every pointer is to a live value, and the length is that of the buffer.
        let code = unsafe {
            libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found)
        };
        (code, (!found.is_null()).then_some(entry.gr_gid))
    })?;
    Ok(found.or_else(|| name_or_id.parse().ok()))
}

/// Asks with a larger and larger buffer, as the database wants it.
fn look_up<T>(mut ask: impl FnMut(&mut [u8]) -> (i32, Option<T>)) -> io::Result<Option<T>> {
    let mut buffer = vec![0; 1024];
    loop {
        match ask(&mut buffer) {
            (0, found) => return Ok(found),
            // Some directories answer so to what they do not know (getpwnam_r(3)).
            (libc::ENOENT | libc::ESRCH, _) => return Ok(None),
            (libc::EINTR, _) => {}
            (libc::ERANGE, _) if buffer.len() < USER_ENTRY_BYTES => buffer.resize(buffer.len() * 4, 0),
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// # Safety
/// The entry's strings live and end with a zero, or are null.
unsafe fn user_of(entry: &libc::passwd) -> User {
    let text = |pointer: *const libc::c_char| {
        if pointer.is_null() {
            return OsStr::new("").to_owned();
        }
        // SAFETY: promised by the caller.
        OsStr::from_bytes(unsafe { CStr::from_ptr(pointer) }.to_bytes()).to_owned()
    };
    User {
        name: text(entry.pw_name).to_string_lossy().into_owned(),
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        home: text(entry.pw_dir).into(),
        shell: text(entry.pw_shell).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User::find("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid, root.name.as_str()), (0, 0, "root"));
        assert_eq!(User::find("0").unwrap().unwrap(), root);
        assert_eq!(User::find("no-such-user-here").unwrap(), None);
        assert_eq!(User::find("nul\0inside").unwrap(), None);
        assert_eq!(group_id("root").unwrap(), Some(0));
        assert_eq!(group_id("4711").unwrap(), Some(4711));
        assert_eq!(group_id("no-such-group").unwrap(), None);
        assert_eq!(User::current().uid, rustix::process::geteuid().as_raw());
    }
}
