use std::ffi::CString;
use std::io;

use super::Launch;
use crate::error::cause;
use crate::{Refusal, Step, User, group_id};

/// Who the program will be.
pub(super) struct Identity {
    pub(super) user: User,
    gid: u32,
    /// Another user or group than we are now.
    changes: bool,
}

impl Identity {
    /// Looks up whom `launch` names.
    pub(super) fn of(launch: &Launch) -> Result<Self, Refusal> {
        let me = User::current();
        let user = match &launch.user {
            None => me.clone(),
            Some(name) => find(name)?,
        };
        let gid = match &launch.group {
            None if launch.user.is_none() => rustix::process::getegid().as_raw(),
            None => user.gid,
            Some(name) => find_group(name)?,
        };
        let changes = user.uid != me.uid || gid != rustix::process::getegid().as_raw();
        if changes && me.uid != 0 {
            let what = format!(
                "only root can start programs as another user: doorstep runs as {}, and the program wants {}{}",
                me.name,
                user.name,
                launch.group.as_deref().map(|group| format!(" in the group {group}")).unwrap_or_default(),
            );
            let fix = "Leave `user` and `group` out, or run doorstep as root (`doorstep service install`).";
            return Err(Refusal::new(Step::User, what, fix));
        }
        Ok(Self { user, gid, changes })
    }

    /// Whether the program's user runs nothing else of ours.
    pub(super) fn changes(&self) -> bool {
        self.changes
    }

    pub(super) fn ids(&self) -> (u32, u32) {
        (self.user.uid, self.gid)
    }

    /// Becomes this user, for good.
    pub(super) fn assume(&self) -> Result<(), Refusal> {
        self.try_assume().map_err(|error| {
            let what = format!("the process cannot become the user {}: {}", self.user.name, cause(&error));
            let fix = "A container or unit that starts doorstep must leave it the capabilities SETUID and SETGID.";
            Refusal::new(Step::Identity, what, fix)
        })
    }

    fn try_assume(&self) -> io::Result<()> {
        if self.user.uid != 0 {
            // What an ordinary user was lent, to bind low ports for instance, is not for its programs.
            let _ = rustix::thread::clear_ambient_capability_set();
        }
        if !self.changes {
            return Ok(());
        }
        let name = CString::new(self.user.name.as_str())?;
        // SAFETY: the name lives and ends with a zero; the others take numbers.
        unsafe {
            done(libc::initgroups(name.as_ptr(), self.gid))?;
            done(libc::setresgid(self.gid, self.gid, self.gid))?;
            done(libc::setresuid(self.user.uid, self.user.uid, self.user.uid))?;
            // The way back must be shut.
            if self.user.uid != 0 && libc::setuid(0) == 0 {
                return Err(io::Error::other("root's rights could be taken back"));
            }
        }
        Ok(())
    }
}

fn find(name: &str) -> Result<User, Refusal> {
    match User::find(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(Refusal::new(
            Step::User,
            format!("the user {name} does not exist"),
            format!("Create it with `useradd --system {name}`."),
        )),
        Err(error) => Err(Refusal::new(
            Step::User,
            format!("the user {name} cannot be looked up: {}", cause(&error)),
            format!("See what `getent passwd {name}` says."),
        )),
    }
}

fn find_group(name: &str) -> Result<u32, Refusal> {
    match group_id(name) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) => Err(Refusal::new(
            Step::User,
            format!("the group {name} does not exist"),
            format!("Create it with `groupadd --system {name}`."),
        )),
        Err(error) => Err(Refusal::new(
            Step::User,
            format!("the group {name} cannot be looked up: {}", cause(&error)),
            format!("See what `getent group {name}` says."),
        )),
    }
}

fn done(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
