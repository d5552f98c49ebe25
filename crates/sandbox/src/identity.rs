use std::ffi::CString;
use std::io;

use crate::error::cause;
use crate::{Refusal, Step, User, group_id};

/// Who a process will be.
pub(crate) struct Identity {
    pub(crate) user: User,
    gid: u32,
    /// Another user or group than we are now.
    changes: bool,
}

impl Identity {
    /// Looks a user and a group up, by names or numbers. `None`: whoever this process is; the user's own group.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, Refusal> {
        let me = User::current();
        let by_default = user.is_none();
        let user = match user {
            None => me.clone(),
            Some(name) => find(name)?,
        };
        let gid = match group {
            None if by_default => rustix::process::getegid().as_raw(),
            None => user.gid,
            Some(name) => find_group(name)?,
        };
        let changes = user.uid != me.uid || gid != rustix::process::getegid().as_raw();
        if changes && me.uid != 0 {
            let what = format!(
                "only root can start programs as another user: doorstep runs as {}, and the program wants {}{}",
                me.name,
                user.name,
                group.map(|group| format!(" in the group {group}")).unwrap_or_default(),
            );
            let fix = "Leave `user` and `group` out, or run doorstep as root (`doorstep service install`).";
            return Err(Refusal::new(Step::User, what, fix));
        }
        Ok(Self { user, gid, changes })
    }

    /// A user and a group by their numbers, whether the user database knows them or not. `None`: whoever this process is.
    pub(crate) fn of_ids(ids: Option<(u32, u32)>) -> Self {
        let me = User::current();
        let (uid, gid) = ids.unwrap_or((me.uid, rustix::process::getegid().as_raw()));
        let known = User::by_id(uid).ok().flatten();
        let changes = uid != me.uid || gid != rustix::process::getegid().as_raw();
        let user = known.unwrap_or_else(|| User::unknown(uid, gid));
        Self { user, gid, changes }
    }

    /// Whether the program's user runs nothing else of ours.
    pub(crate) fn changes(&self) -> bool {
        self.changes
    }

    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.user.uid, self.gid)
    }

    /// Becomes this user, for good.
    pub(crate) fn assume(&self) -> Result<(), Refusal> {
        self.assume_groups()?;
        self.assume_user()
    }

    /// Gives up our groups for the user's. The first half of [`Self::assume`].
    pub(crate) fn assume_groups(&self) -> Result<(), Refusal> {
        if !self.changes {
            return Ok(());
        }
        let Ok(name) = CString::new(self.user.name.as_str()) else { return Ok(()) };
        // SAFETY: the name lives and ends with a zero; the others are numbers.
        let codes =
            unsafe { [libc::initgroups(name.as_ptr(), self.gid), libc::setresgid(self.gid, self.gid, self.gid)] };
        codes.into_iter().try_for_each(done).map_err(|error| self.refusal(&error))
    }

    /// The second half.
    pub(crate) fn assume_user(&self) -> Result<(), Refusal> {
        if self.user.uid != 0 {
            // What an ordinary user was lent, to bind low ports for instance, is not for its programs.
            let _ = rustix::thread::clear_ambient_capability_set();
        }
        if !self.changes {
            return Ok(());
        }
        let uid = self.user.uid;
        // SAFETY: takes numbers.
        done(unsafe { libc::setresuid(uid, uid, uid) }).map_err(|error| self.refusal(&error))?;
        // SAFETY: takes a number. The way back must be shut.
        if uid != 0 && unsafe { libc::setuid(0) } == 0 {
            return Err(self.refusal(&io::Error::other("root's rights could be taken back")));
        }
        Ok(())
    }

    fn refusal(&self, error: &io::Error) -> Refusal {
        let what = format!("the process cannot become the user {}: {}", self.user.name, cause(error));
        let fix = "A container or unit that starts doorstep must leave it the capabilities SETUID and SETGID.";
        Refusal::new(Step::Identity, what, fix)
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
