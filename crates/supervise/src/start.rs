use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use doorstep_model::{Exec, Finding};

/// A program to start, in a process group of its own, stdin from nowhere.
#[derive(Debug)]
pub struct Start {
    pub argv: Vec<String>,
    /// User, group, limits, rules, folder; its `env` is already part of `env` below.
    pub exec: Exec,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Both stdout and stderr.
    pub output: OwnedFd,
    /// Folders that it may write to besides `exec.writes`: its socket, its Python environment.
    pub writes: Vec<PathBuf>,
    /// This folder becomes its `/tmp`. Its parent is out of other users' reach; it is removed when the program is gone.
    pub private_tmp: Option<PathBuf>,
    /// Names its cgroup: `blog.1-17`.
    pub unit: String,
}

/// Who a program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    pub home: PathBuf,
    pub shell: PathBuf,
}

/// A program that runs.
#[derive(Clone, Debug, Default)]
pub struct Spawned {
    /// Also the number of its process group.
    pub pid: u32,
    /// What was asked for and could not be had on this computer.
    pub notes: Vec<Finding>,
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SpawnError {
    /// In words for a person: "the user blog does not exist".
    pub what: String,
    /// What to do next; may be empty.
    pub fix: String,
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self { what: error.to_string(), fix: String::new() }
    }
}

/// How programs are started. The processes are children of this one, which waits for them itself: an implementation must not.
pub trait Spawn: Send + Sync {
    /// Blocks until the program runs.
    ///
    /// # Errors
    /// Where it could not be started at all; a program that fails later ends with an exit code.
    fn spawn(&self, start: Start) -> Result<Spawned, SpawnError>;

    /// # Errors
    /// Where there is no such user or group.
    fn identity(&self, exec: &Exec) -> Result<Identity, SpawnError>;

    /// The cgroup folder of a unit, where it has one.
    fn cgroup(&self, unit: &str) -> Option<PathBuf>;

    /// Nothing of this unit runs any more: what was made for it can go. May block for a moment.
    fn release(&self, unit: &str);
}

/// Starts programs as whoever we are, without limits or rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainSpawn;

impl Spawn for PlainSpawn {
    fn spawn(&self, start: Start) -> Result<Spawned, SpawnError> {
        let (program, arguments) =
            start.argv.split_first().ok_or_else(|| SpawnError { what: "no program".into(), fix: String::new() })?;
        let child = std::process::Command::new(program)
            .args(arguments)
            .current_dir(&start.exec.dir)
            .env_clear()
            .envs(start.env)
            .stdin(Stdio::null())
            .stdout(start.output.as_fd().try_clone_to_owned()?)
            .stderr(start.output)
            .process_group(0)
            .spawn()?;
        Ok(Spawned { pid: child.id(), notes: Vec::new() })
    }

    fn identity(&self, _: &Exec) -> Result<Identity, SpawnError> {
        let variable = |name: &str, other: &str| std::env::var(name).unwrap_or_else(|_| other.to_owned());
        Ok(Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            name: variable("USER", "nobody"),
            home: variable("HOME", "/").into(),
            shell: "/bin/sh".into(),
        })
    }

    fn cgroup(&self, _: &str) -> Option<PathBuf> {
        None
    }

    fn release(&self, _: &str) {}
}
