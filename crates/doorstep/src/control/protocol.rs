//! What is asked and answered over the control socket. `docs/status-json.md` documents [`Status`] for programs.
//!
//! Every field has a default, so that a client and a daemon of different versions understand each other.

use std::path::PathBuf;

use doorstep_model::{Blame, Finding, Severity};
use serde::{Deserialize, Serialize};

use super::public_status::{MappingStatus, NameStatus};
use super::relay_orders::{self, RelayOrder};
use super::relay_status::Relay;
use super::tunnel_status::TunnelStatus;

/// One line from the client; the only one on its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    Status,
    Reload,
    /// Hand over to another binary; `None` is the one that the running daemon was started from.
    Upgrade {
        #[serde(default)]
        binary: Option<PathBuf>,
    },
    /// Finish what is in flight, and end.
    Stop,
    /// Replace an app's instances one by one.
    Restart {
        app: String,
    },
    Logs {
        /// `None`: all apps and jobs.
        #[serde(default)]
        app: Option<String>,
        /// How many of the last lines.
        lines: usize,
        /// Go on with what is written from now on.
        #[serde(default)]
        follow: bool,
    },
    CertList,
    CertShow {
        name: String,
    },
    /// Get a new certificate now.
    CertRenew {
        name: String,
    },
    /// For the relay.
    Relay {
        #[serde(flatten)]
        order: RelayOrder,
    },
}

/// A line to the client. The last one is any but [`Self::Progress`] and [`Self::Line`]; after it the connection ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    Status {
        status: Box<Status>,
    },
    Certificates {
        certificates: Vec<Certificate>,
    },
    RelayAgents {
        agents: Vec<relay_orders::Agent>,
    },
    RelayNames {
        names: Vec<relay_orders::Name>,
    },
    /// What is going on, in words; more follows.
    Progress {
        text: String,
    },
    /// A line of an app's log, without its end; more may follow.
    Line {
        app: String,
        text: String,
    },
    /// It is done; in words, which may be empty.
    Done {
        text: String,
    },
    Failed {
        what: String,
        #[serde(default)]
        why: String,
        #[serde(default)]
        fix: String,
    },
}

impl Response {
    pub fn done(text: impl Into<String>) -> Self {
        Self::Done { text: text.into() }
    }

    /// Nothing follows it.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Progress { .. } | Self::Line { .. })
    }
}

impl From<&crate::exit::Failure> for Response {
    fn from(failure: &crate::exit::Failure) -> Self {
        Self::Failed { what: failure.what.clone(), why: failure.why.clone(), fix: failure.fix.clone() }
    }
}

/// How everything is. Times are seconds since 1970, sizes bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub config: PathBuf,
    pub state: PathBuf,
    pub started_at: i64,
    pub uptime_seconds: u64,
    /// Which configuration is in force: 1 for the first since the start, more by one after each reload.
    pub generation: u64,
    pub reloads: u64,
    pub upgrades: u64,
    pub worker: Worker,
    pub listeners: Vec<Listener>,
    pub traffic: Traffic,
    pub sites: Vec<Site>,
    pub apps: Vec<App>,
    pub jobs: Vec<Job>,
    pub upstreams: Vec<Upstream>,
    /// `None` where there is no `[relay]`.
    pub relay: Option<Relay>,
    /// In the order of preference; none where there is no `[tunnel]`.
    pub tunnels: Vec<TunnelStatus>,
    /// Ports of the router; none where `[public]` does not ask for any.
    pub ports: Vec<MappingStatus>,
    /// Names that follow this computer's address.
    pub names: Vec<NameStatus>,
    pub certificates: Vec<Certificate>,
    pub findings: Vec<Found>,
}

/// The process that reads from the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    pub pid: u32,
    /// Times that it crashed and was replaced.
    pub restarts: u64,
    /// Earlier ones that still finish what they began.
    pub draining: u64,
    /// Whether its system calls and files are restricted.
    pub confined: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Address and port.
    pub address: String,
    pub tls: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Over the last minute.
    pub requests_per_second: f64,
    /// Since the start.
    pub requests: u64,
    /// Answers of 500 and above, ours and the apps', since the start.
    pub errors: u64,
    /// Milliseconds that half of the requests took at most, of late; `None` without requests.
    pub p50_ms: Option<f64>,
    /// The same for 99 of 100.
    pub p99_ms: Option<f64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Open connections.
    pub connections: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Site {
    /// Its first name.
    pub name: String,
    pub aliases: Vec<String>,
    /// What answers, in words: `app blog`, `/srv/files`, `2 upstreams`, `4 routes`.
    pub serves: String,
    /// The name of its entry in [`Status::certificates`]; `None` without HTTPS.
    pub certificate: Option<String>,
    pub traffic: Traffic,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct App {
    pub name: String,
    /// Instances that should run.
    pub wanted: u32,
    pub instances: Vec<Instance>,
    /// Starts after a crash, since doorstep's start.
    pub restarts: u64,
    /// It crashes again and again, and is started less and less often.
    pub crash_loop: bool,
    /// What is being done or waited for; empty when all is well.
    pub note: String,
    /// Why an instance last ended by itself or could not start; empty if none did.
    pub last_failure: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    pub id: String,
    pub state: InstanceState,
    pub pid: u32,
    /// What it is reached by: `unix:/run/…/1.sock`, `127.0.0.1:41234`.
    pub address: String,
    pub uptime_seconds: u64,
    /// With its children.
    pub memory_bytes: u64,
    /// Seconds of processor time so far.
    pub cpu_seconds: f64,
    /// Hundredths of one core, of late.
    pub cpu_percent: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    #[default]
    Starting,
    Ready,
    Draining,
    Stopping,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    pub name: String,
    pub running: bool,
    pub next_at: Option<i64>,
    pub last_started_at: Option<i64>,
    /// How the last run ended, in words.
    pub last_result: Option<String>,
    /// Runs left out because the one before was not over.
    pub skipped: u64,
}

/// A server behind a `proxy` route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    pub site: String,
    pub address: String,
    pub state: UpstreamState,
    /// Requests and upgraded connections right now.
    pub in_flight: u64,
    pub backup: bool,
    /// What went wrong last, however long ago; empty if nothing did.
    pub last_error: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    #[default]
    Ready,
    /// Ready, with less than its share so far (slow start).
    Warming,
    /// Fails its health checks.
    Unwell,
    /// Failed several requests in a row, and is tried again from time to time.
    Resting,
    /// Nothing listens there, or its name has no address.
    Unreachable,
    Draining,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// The name that the commands take.
    pub name: String,
    /// All names in it.
    pub names: Vec<String>,
    pub sites: Vec<String>,
    pub source: CertificateSource,
    pub state: CertificateState,
    /// Who signed it.
    pub issuer: String,
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// Whole days until it expires; negative when it has.
    pub days_left: Option<i64>,
    pub serial: String,
    /// SHA-256, as browsers show it.
    pub fingerprint: String,
    pub path: PathBuf,
    /// When the next one is asked for, or the next attempt is made.
    pub next_at: Option<i64>,
    /// What went wrong last, until something works again.
    pub error: Option<CertificateError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// From a certificate authority.
    #[default]
    Acme,
    /// From this computer's own authority.
    Local,
    /// From files of one's own.
    Files,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// None yet; the first is being asked for.
    #[default]
    Pending,
    Valid,
    /// Less than a third of its life is left.
    Expiring,
    Expired,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateError {
    pub what: String,
    pub fix: String,
    pub at: i64,
    /// How often in a row.
    pub times: u32,
}

/// A [`Finding`], and when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub severity: Severity,
    pub blame: Blame,
    pub id: String,
    pub what: String,
    #[serde(default)]
    pub why: String,
    #[serde(default)]
    pub fix: String,
    #[serde(default)]
    pub seen_at: i64,
}

impl Found {
    pub fn new(finding: &Finding, seen_at: i64) -> Self {
        let Finding { severity, blame, id, what, why, fix } = finding.clone();
        Self { severity, blame, id: id.to_owned(), what, why, fix, seen_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_readable_line() {
        let json = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(json(&Request::Status), r#"{"request":"status"}"#);
        let logs = Request::Logs { app: Some("blog".into()), lines: 10, follow: true };
        assert_eq!(json(&logs), r#"{"request":"logs","app":"blog","lines":10,"follow":true}"#);
        assert_eq!(
            serde_json::from_str::<Request>(r#"{"request":"upgrade"}"#).unwrap(),
            Request::Upgrade { binary: None }
        );
    }

    #[test]
    fn what_another_version_leaves_out_or_adds_is_no_error() {
        let text = r#"{"response":"status","status":{"version":"9","sites":[{"name":"a","new":1}],"more":{}}}"#;
        let Response::Status { status } = serde_json::from_str(text).unwrap() else { panic!() };
        assert_eq!((status.version.as_str(), status.sites[0].name.as_str(), status.pid), ("9", "a", 0));
    }
}
