use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ByteRate;

/// The program itself.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Certificates, accounts, the journal. `None`: `/var/lib/doorstep` for root, else `$XDG_STATE_HOME/doorstep`.
    pub state: Option<PathBuf>,
    /// Who the worker runs as, when started by root.
    pub user: String,
    /// Threads of the data plane; `None` is one per core.
    pub workers: Option<usize>,
    pub deadlines: Deadlines,
    pub access_logs: Vec<AccessLogSpec>,
    /// Serve Prometheus metrics at `/metrics` here.
    pub metrics: Option<SocketAddr>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// All sites together, shared fairly between clients.
    pub uplink: Option<ByteRate>,
    /// Confine the worker: no new privileges, Landlock, a filter of system calls.
    pub sandbox: bool,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            state: None,
            user: "doorstep".to_owned(),
            workers: None,
            deadlines: Deadlines::default(),
            access_logs: Vec::new(),
            metrics: None,
            trusted_proxies: Vec::new(),
            uplink: None,
            sandbox: true,
        }
    }
}

/// How long things may take at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// After `doorstep stop` or SIGTERM: what is in flight is cut after this.
    pub stop: Duration,
    /// After a reload or an upgrade: what the old configuration still serves is cut after this.
    pub handover: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { stop: Duration::from_secs(30), handover: Duration::from_secs(60 * 60) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSpec {
    pub format: LogFormat,
    pub target: LogTarget,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Apache's "combined".
    #[default]
    Combined,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    File { path: PathBuf, rotation: Rotation },
}

/// When a log file is set aside, and how many of these are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub max_bytes: u64,
    pub keep: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, keep: 7 }
    }
}
