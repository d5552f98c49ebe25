use std::path::PathBuf;
use std::time::Duration;

use super::{AppName, Pem};

/// Upstreams that can stand for each other.
#[derive(Clone, Debug)]
pub struct Pool {
    /// What logs, metrics and `doorstep status` call it: the app's name, or the upstreams' addresses.
    pub name: String,
    pub members: Members,
    pub balance: Balance,
    /// Asked from time to time whether a member is well.
    pub health: Option<HealthCheck>,
    pub passive: PassiveHealth,
    pub retries: Retries,
    pub timeouts: Timeouts,
    pub queue: PoolQueue,
    /// A member that came (back) gets its full share only after this time.
    pub slow_start: Option<Duration>,
    /// Pass the visitor's `Host` on. Otherwise the app sees [`Upstream::authority`], and redirects and cookies are
    /// translated back.
    pub keep_host: bool,
    /// Begin each upstream connection with a PROXY protocol header that names the client. Connections are then not
    /// shared between clients.
    pub send_proxy: Option<ProxyHeader>,
    /// Idle connections kept per member and worker. As many as there are requests at once in a busy moment: what is beyond
    /// it costs a new connection each. Those that are not needed are closed within seconds.
    pub keep_alive: usize,
}

impl Pool {
    /// A pool with the defaults of everything.
    pub fn new(name: &str, members: Members) -> Self {
        Self {
            name: name.to_owned(),
            members,
            balance: Balance::default(),
            health: None,
            passive: PassiveHealth::default(),
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            queue: PoolQueue::default(),
            slow_start: None,
            keep_host: true,
            send_proxy: None,
            keep_alive: 256,
        }
    }
}

/// Who is in a pool.
#[derive(Clone, Debug)]
pub enum Members {
    Fixed(Vec<Member>),
    /// The instances of this app that are ready, whichever they are just now.
    App(AppName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub upstream: Upstream,
    /// Share of requests relative to others; at least 1.
    pub weight: u32,
    /// Used only while no other member is well.
    pub backup: bool,
}

/// Which member gets the next request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    #[default]
    RoundRobin,
    /// Of requests under way, weighted.
    LeastConnections,
    /// The less busy of two chosen at random.
    RandomTwo,
    /// The same key goes to the same member as long as it is well.
    Hash(HashKey),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address (IPv6: its /64).
    Ip,
    Header(String),
    /// A cookie of this name; without it the client gets one (`HttpOnly`, `SameSite=Lax`).
    Cookie(String),
}

/// A question that a well member answers with 2xx or 3xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub path: String,
    pub every: Duration,
    pub timeout: Duration,
    /// Answers in a row that change the verdict.
    pub healthy_after: u32,
    pub unhealthy_after: u32,
    /// Expected status; `None` is any of 200 to 399.
    pub status: Option<u16>,
}

/// Judging members by the requests that they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failures in a row (no connection, no answer, broken answer) after which a member rests; 0 never.
    pub max_fails: u32,
    /// How long it rests.
    pub rest: Duration,
}

impl Default for PassiveHealth {
    fn default() -> Self {
        Self { max_fails: 3, rest: Duration::from_secs(10) }
    }
}

/// Sending a request to another member after a failure: only if the member cannot have seen it, or if its method is
/// idempotent and no answer has begun (RFC 9110 section 9.2.2), and its body can be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Further attempts after the first.
    pub attempts: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 2 }
    }
}

/// How long each phase may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name, TCP, TLS.
    pub connect: Duration,
    /// From the request's last byte to the response's first; also how long the upstream may refuse to take more.
    pub response: Duration,
    /// The longest pause within a response's body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), response: Duration::from_secs(120), idle: Duration::from_secs(60 * 60) }
    }
}

/// Requests wait here while no member is ready: an app that restarts is a pause, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolQueue {
    /// The most requests waiting; further ones are answered 503.
    pub most: usize,
    /// How long one waits.
    pub wait: Duration,
}

impl Default for PoolQueue {
    fn default() -> Self {
        // More than an app needs to start again that is down for 10 s.
        Self { most: 4096, wait: Duration::from_secs(15) }
    }
}

/// The PROXY protocol's two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    V1,
    V2,
}

/// Where a proxied request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub addr: UpstreamAddr,
    /// Speak TLS to it.
    pub tls: bool,
    /// Do not verify its certificate.
    pub insecure: bool,
    /// The `Host` it is sent, such as `localhost:8000`.
    pub authority: String,
    /// Prepended to the request's path; empty, or starts with `/` and has no trailing slash.
    pub base_path: String,
    pub protocol: UpstreamProtocol,
    /// Server name for SNI and verification, where it is not the host that is connected to.
    pub server_name: Option<String>,
    /// Verify against these roots (PEM) instead of the system's.
    pub roots: Option<Pem>,
}

impl Upstream {
    /// An upstream in the clear, HTTP/1.1, without a base path.
    pub fn plain(addr: UpstreamAddr, authority: &str) -> Self {
        Self {
            addr,
            tls: false,
            insecure: false,
            authority: authority.to_owned(),
            base_path: String::new(),
            protocol: UpstreamProtocol::Http1,
            server_name: None,
            roots: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddr {
    /// Resolved at each connection.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge in the clear (`h2c://`). What gRPC needs.
    Http2,
}
