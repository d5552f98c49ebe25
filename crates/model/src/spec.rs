use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::{Hostname, Secret};

/// What should be reachable, and how. Immutable once built; the engine compiles it into a route table.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub listeners: Vec<Listener>,
    pub sites: Vec<Site>,
}

/// A socket to be bound, with its TLS policy.
#[derive(Clone, Debug)]
pub struct Listener {
    pub address: SocketAddr,
    pub tls: TlsPolicy,
    /// The most connections open at once on this listener; `None` is the engine's own bound.
    pub max_connections: Option<usize>,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// HTTP in the clear.
    Plain,
    /// HTTPS with a certificate that this computer signed itself.
    LocalCertificate,
}

/// Host names, who may come in, and routes.
#[derive(Clone, Debug)]
pub struct Site {
    pub hosts: HostPolicy,
    pub guards: Guards,
    /// First match in order.
    pub routes: Vec<Route>,
}

/// Which `Host` values reach a site. All others are answered 421.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// Whatever the client says.
    Any,
    /// IP addresses, names that only mean something locally ([`Hostname::is_local`]), and these. This is what
    /// keeps a web page elsewhere from reaching the site through its visitor's browser (DNS rebinding).
    Local { also: Vec<Hostname> },
    /// Exactly these.
    Names(Vec<Hostname>),
}

#[derive(Clone, Debug)]
pub struct Route {
    pub matcher: Matcher,
    pub action: Action,
}

/// A route's pure predicate on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    Any,
    /// The canonical path is this or lies beneath it. Starts with `/`, has no trailing slash.
    PathPrefix(String),
}

/// What a route does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Serve the folder `root`.
    Folder { root: PathBuf, options: FileOptions },
    /// Serve one file under its own name, and a small page at `/` that offers it.
    File { path: PathBuf, options: FileOptions },
    /// Serve what was read from standard input, spooled at `spool`, under `name`.
    Spool { spool: PathBuf, name: String },
    /// Pass the request to an app.
    Proxy(Proxy),
}

/// Options of the file service.
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// Answer paths that do not exist with `/index.html` (single-page applications).
    pub spa: bool,
    /// Let pages of any origin read the files (`Access-Control-Allow-Origin: *`).
    pub cors: bool,
    /// Serve dotfiles, private keys and databases too.
    pub hidden: bool,
    pub upload: UploadPolicy,
}

/// Whether visitors may add files. They can never replace one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UploadPolicy {
    #[default]
    Off,
    /// Visitors may add files and see what is there.
    Allowed { max_bytes: Option<u64> },
    /// Visitors may add files and see nothing.
    Only { max_bytes: Option<u64> },
}

/// A reverse proxy to one app.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub upstream: Upstream,
    /// Pass the visitor's `Host` on. Otherwise the app sees a host it accepts ([`Upstream::authority`]), and redirects
    /// and cookies are translated back to the visitor's address.
    pub keep_host: bool,
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

/// Who may come in, and how much they may take.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    pub password: Option<Password>,
    /// Only these networks; empty lets everybody in.
    pub allow: Vec<IpNet>,
    pub rate: Option<ByteRate>,
    /// Refuse everything after this time from the start.
    pub expires: Option<Duration>,
    /// Stop after the first complete download.
    pub once: bool,
}

/// A user name and password that the visitor must know.
#[derive(Clone, Debug)]
pub struct Password {
    pub user: String,
    pub password: Secret<String>,
}

/// Bandwidth limits in bytes per second of response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    pub per_client: u64,
    pub total: u64,
}
