//! Starting a program under rules.

mod child;
mod exec;
mod process;
mod spawn;
mod tmp;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use doorstep_model::{ResourceLimits, Secret};
use serde::{Deserialize, Serialize};

use crate::cgroup::Join;

pub use child::{launch_main, launch_requested};
pub use spawn::{OWN_BINARY, Started};

/// The first argument of our binary when it is to become a program. Not for people.
pub const HIDDEN_ARGUMENT: &str = "__launch";

/// A program, who runs it, with what, and what it may do. See [`Launch::spawn`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Launch {
    /// The program and its arguments. Without a slash, the program is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Where it starts.
    pub dir: PathBuf,
    /// The whole environment. `HOME`, `USER`, `LOGNAME` and `SHELL` are added from the user database, a default `PATH` too,
    /// unless they are named here. With `LISTEN_FDS`, `LISTEN_PID` is added (sd_listen_fds(3)).
    #[serde(with = "environment")]
    pub env: Vec<(String, Secret<String>)>,
    /// A name or a number. `None`: whoever runs doorstep. Another one than that can only be had by root.
    pub user: Option<String>,
    /// A name or a number. `None`: the user's own. The user's further groups are there too.
    pub group: Option<String>,
    pub umask: Option<u32>,
    /// Those that `cgroup` does not hold are held by rlimits as far as these can: open files, always; memory by
    /// `RLIMIT_DATA`, which counts per process what was made writable (`RLIMIT_AS` would count address space, of which
    /// Node, Go and Java reserve gigabytes that they never use); processes by `RLIMIT_NPROC`, and only where the
    /// program has a user of its own, since it counts all processes of a user; CPU time not at all.
    pub limits: ResourceLimits,
    /// Made by [`crate::cgroup::Cgroups::make`].
    pub cgroup: Option<Join>,
    /// The only folders (or files) that may be written, besides `private_tmp`, `/dev/shm` and devices. All must exist.
    /// `None` does not restrict. Reading is not restricted. For an ordinary user this implies `no_new_privs`.
    pub writes: Option<Vec<PathBuf>>,
    /// This folder is made if need be, given to the user, and becomes the program's `/tmp` and `/var/tmp` where the system
    /// permits that (root), else its `TMPDIR`. Its parent must be out of other users' reach, and whoever started the
    /// program removes it.
    pub private_tmp: Option<PathBuf>,
    /// Neither the program nor its children ever gain privileges, by setuid programs such as sudo for instance.
    pub no_new_privs: bool,
    pub process_group: ProcessGroup,
}

/// Whom signals to a group or from a terminal reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessGroup {
    /// A session of its own, hence a group whose number is the process's, and no terminal.
    #[default]
    Session,
    /// A group of its own in our session.
    Own,
    /// Ours.
    Inherit,
}

/// The descriptors that the program gets. All others stay closed to it.
#[derive(Clone, Debug, Default)]
pub struct Fds<'a> {
    /// `None` is `/dev/null`, here and in the next two.
    pub stdin: Option<BorrowedFd<'a>>,
    pub stdout: Option<BorrowedFd<'a>>,
    pub stderr: Option<BorrowedFd<'a>>,
    pub kept: Vec<KeptFd<'a>>,
}

/// A descriptor and its number in the program: 3 or more.
#[derive(Clone, Copy, Debug)]
pub struct KeptFd<'a> {
    pub fd: BorrowedFd<'a>,
    pub number: i32,
}

/// What the new process is told, over a descriptor that it inherits: an argument would be everybody's to read.
#[derive(Serialize, Deserialize)]
struct Description {
    launch: Launch,
    /// Numbers in the process that is being started, and those that the program wants.
    kept: Vec<(i32, i32)>,
}

/// What the new process says, line by line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Note(crate::Note),
    /// Everything is applied; the next thing is `execve`. Success is the end of the pipe after this.
    Going,
    Failed(crate::Refusal),
}

mod environment {
    use doorstep_model::Secret;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(env: &[(String, Secret<String>)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(env.iter().map(|(name, value)| (name, value.reveal())))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, Secret<String>)>, D::Error> {
        let plain = Vec::<(String, String)>::deserialize(from)?;
        Ok(plain.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }
}
