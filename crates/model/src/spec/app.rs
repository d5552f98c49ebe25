use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rotation;
use crate::Secret;

/// The name of an app or job: letters, digits, `-` and `_`, at most 64; names its files and folders.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(pub String);

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A program that doorstep runs and keeps running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub name: AppName,
    pub command: AppCommand,
    pub exec: Exec,
    pub listen: AppListen,
    /// Processes, each with a socket of its own; at least 1.
    pub instances: u32,
    /// Started only when these are ready.
    pub after: Vec<AppName>,
    /// Commands (for `sh -c`) run one after the other before the first instance of a version starts, such as `migrate`.
    pub pre_start: Vec<String>,
    pub ready: Readiness,
    /// After SIGTERM, SIGKILL follows for the whole process group when this is over.
    pub stop_grace: Duration,
    /// How long an instance that is replaced may finish its requests before it is told to stop.
    pub drain: Duration,
    /// Restart when files of `exec.dir` change (development).
    pub watch: bool,
    pub orphans: Orphans,
    pub log: Rotation,
}

/// How an app is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppCommand {
    /// For `sh -c 'exec …'`; `$PORT` or `$SOCKET` is in its environment.
    Run(String),
    Python(Python),
}

/// A Python web app, run by gunicorn (WSGI) or uvicorn (ASGI) in a virtual environment beside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// `module:attribute`, such as `main:app`.
    pub entry: String,
    /// `None`: found out by looking at the object.
    pub asgi: Option<bool>,
    /// Threads per instance of a WSGI app.
    pub threads: u32,
    /// The interpreter that makes the virtual environment, such as `python3.12`.
    pub interpreter: String,
    /// Run `manage.py collectstatic` and serve its result at this path, such as `/static`. For Django.
    pub collectstatic: Option<String>,
}

/// What an app is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppListen {
    /// A unix socket, whose path is in `$SOCKET`.
    Socket,
    /// A port on 127.0.0.1, in `$PORT`.
    Port,
    /// Nothing: it works without being visited, such as whoever takes orders from a queue. Ready once it has run for a moment.
    Nothing,
}

/// Who runs a program, with what, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    pub dir: PathBuf,
    /// `None`: whoever runs doorstep; for root, a user must be named (root itself is possible by name).
    pub user: Option<String>,
    /// `None`: the user's own.
    pub group: Option<String>,
    pub umask: Option<u32>,
    /// On top of a small environment (PATH, HOME, LANG, USER, TZ).
    pub env: Vec<(String, Secret<String>)>,
    pub limits: ResourceLimits,
    /// Folders that the program may write to; the rest of the file system is read-only for it (Landlock). `None` does not restrict.
    pub writes: Option<Vec<PathBuf>>,
    /// A `/tmp` of its own, where the system lets us.
    pub private_tmp: bool,
    /// May gain privileges by setuid programs. Off by default.
    pub new_privileges: bool,
}

/// By cgroup v2 where it is delegated, else by rlimits; per instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Hundredths of a core. Cgroups only.
    pub cpu_percent: Option<u32>,
    pub open_files: Option<u64>,
    pub processes: Option<u64>,
}

/// When an instance counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Besides accepting connections, answer this path with 2xx or 3xx.
    pub path: Option<String>,
    /// Not ready by then: the start has failed.
    pub timeout: Duration,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { path: None, timeout: Duration::from_secs(60) }
    }
}

/// What becomes, at the next start, of instances that a doorstep which was killed left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    #[default]
    End,
    /// They go on serving.
    Adopt,
}

/// A program that runs at certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub name: AppName,
    /// For `sh -c`.
    pub run: String,
    pub exec: Exec,
    pub schedule: Schedule,
    /// Ended when it takes longer.
    pub timeout: Option<Duration>,
    pub log: Rotation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Every(Duration),
    /// Five fields, local time; valid.
    Cron(String),
}
