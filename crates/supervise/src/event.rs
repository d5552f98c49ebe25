use std::path::PathBuf;
use std::time::Duration;

use doorstep_model::{AppName, Finding, UpstreamAddr};

/// What the supervisor tells.
#[derive(Clone, Debug)]
pub enum Event {
    /// Who of an app may get requests: the whole list, each time it changes.
    Members {
        app: AppName,
        members: Vec<Instance>,
    },
    /// Files of an app to be served by the engine itself (Django's collected static files); `None`: no more.
    Static {
        app: AppName,
        files: Option<StaticFiles>,
    },
    Finding(Finding),
}

/// Serve `dir` at `path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticFiles {
    /// Such as `/static`.
    pub path: String,
    pub dir: PathBuf,
}

/// An instance that accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Unique within the app, also over time: `2-17`.
    pub id: String,
    pub addr: UpstreamAddr,
    /// It gets no new requests; say [`drained`](crate::Supervisor::drained) when nothing is in flight on it.
    pub draining: bool,
}

/// How an app is.
#[derive(Clone, Debug)]
pub struct AppStatus {
    pub name: AppName,
    /// Instances that should run.
    pub wanted: u32,
    pub instances: Vec<InstanceStatus>,
    /// Starts after a crash, since the supervisor runs.
    pub restarts: u64,
    pub crash_loop: bool,
    /// What is being done or waited for: "installing", "waiting for db". Empty when all is well.
    pub note: String,
    /// The last reason why an instance ended by itself or could not start; empty: none so far.
    pub last_failure: String,
    pub static_files: Option<StaticFiles>,
}

#[derive(Clone, Debug)]
pub struct InstanceStatus {
    pub id: String,
    pub pid: u32,
    pub addr: UpstreamAddr,
    pub state: InstanceState,
    /// Since its start.
    pub uptime: Duration,
    /// Memory of its cgroup in bytes, files in memory included; without a cgroup, resident memory of its process group.
    pub memory: u64,
    /// Processor time of the same so far.
    pub cpu: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Starting,
    Ready,
    Draining,
    Stopping,
}

/// How a job is.
#[derive(Clone, Debug)]
pub struct JobStatus {
    pub name: AppName,
    pub running: bool,
    /// Seconds since 1970.
    pub next: Option<i64>,
    /// When the last run started, in seconds since 1970.
    pub last_start: Option<i64>,
    /// How the last run ended, in words: "done", "exit code 2", "ended after 10 min, its timeout".
    pub last_result: Option<String>,
    /// Runs left out because the one before was not over.
    pub skipped: u64,
}
