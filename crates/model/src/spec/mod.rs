//! What should be reachable, and how: built from a command line or a file, made true by the engine and the supervisor.

mod app;
mod certificate;
mod daemon;
mod dns;
mod filter;
mod guard;
mod outside;
mod pool;
mod relay;
mod route;
mod site;
mod tunnel;
mod via;

pub use app::{App, AppCommand, AppListen, AppName, Exec, Job, Orphans, Python, Readiness, ResourceLimits, Schedule};
pub use certificate::{CertificateSource, ChallengeKind, DnsProvider, ExternalAccount, Issuance, Issuer, Pem, PemPair};
pub use daemon::{AccessLogSpec, Daemon, Deadlines, LogFormat, LogTarget, Rotation};
pub use dns::{DNS_PROVIDERS, DnsKind};
pub use filter::{Compression, CorsPolicy, ErrorPage, Filters, HeaderEdit, Hsts, Rewrite};
pub use guard::{ByteRate, ForwardAuth, Guards, Logins, Password, RequestRate};
pub use outside::DynamicDns;
pub use pool::{
    Balance, HashKey, HealthCheck, Member, Members, PassiveHealth, Pool, PoolQueue, ProxyHeader, Retries, Timeouts,
    Upstream, UpstreamAddr, UpstreamProtocol,
};
pub use relay::{PageKiteSpec, RelayLimits, RelaySpec};
pub use route::{
    Action, FieldMatcher, FileOptions, Maintenance, Matcher, PathMatcher, Proxy, Redirect, Respond, Route, Template,
    UploadPolicy, ValueMatcher,
};
pub use site::{HostPattern, HostPolicy, HttpsPolicy, Listener, Site, TlsPolicy};
pub use tunnel::{Lent, SshFiles, Tunnel, WebLent};
pub use via::{RELAY_PORT, Via, ViaError, vias};

/// What should be reachable, and how. Immutable once built; the engine compiles it into a route table.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub listeners: Vec<Listener>,
    pub sites: Vec<Site>,
    pub apps: Vec<App>,
    pub jobs: Vec<Job>,
    pub issuance: Issuance,
    /// A public address lent to agents, beside the sites.
    pub relay: Option<RelaySpec>,
    pub daemon: Daemon,
    /// What is lent to visitors from elsewhere.
    pub tunnel: Option<Tunnel>,
    /// Names that are kept leading here, each group with its provider.
    pub dns: Vec<DynamicDns>,
}
