use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use doorstep_model::{CertificateSource, Finding, Issuance, PemPair};

use crate::CertName;
use crate::leaf::Leaf;

/// What a site needs to speak TLS.
#[derive(Clone, Debug)]
pub struct CertRequest {
    /// The site's name, for status and findings.
    pub site: String,
    /// Every name that the site answers to, those that it redirects from among them. Each gets a certificate of its own
    /// (except from [`CertificateSource::Files`]), so that one that points elsewhere does not hold up the others.
    pub names: Vec<CertName>,
    pub source: CertificateSource,
    /// Only clients with a certificate signed by one of these get past the handshake. Only the chain of the pair counts.
    pub client_ca: Option<PemPair>,
    /// Also answers clients that name nobody (no SNI), which is how a bare IP address is asked for, and those that name
    /// somebody whom no request has. At most one request should say so; of several the first counts. It may have no names:
    /// then it answers for those in its certificate files, or for `localhost`.
    pub unnamed: bool,
}

/// What the [`Manager`](crate::Manager) works with.
#[derive(Clone)]
pub struct ManagerOptions {
    /// The state folder: `certs/`, `accounts/`, `authority/` and `ledger.json` are made in it.
    pub dir: PathBuf,
    pub issuance: Issuance,
    pub requests: Vec<CertRequest>,
    /// Gets what somebody should know: failures, warnings before an expiry, and as notes each certificate obtained.
    pub report: Arc<dyn Fn(Finding) + Send + Sync>,
    /// Ports by which the authority reaches us.
    pub ports: Ports,
    /// The name server for looking at our own names, instead of those of the system.
    pub resolver: Option<SocketAddr>,
    /// Called before each step of an order, for tests: `false` stops the order there for good, as a crash would.
    #[doc(hidden)]
    pub checkpoint: Option<Checkpoint>,
}

#[doc(hidden)]
pub type Checkpoint = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Where challenges arrive. RFC 8555 section 8.3 and RFC 8737 section 3 say 80 and 443; others are for private
/// authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub http: u16,
    pub tls: u16,
}

impl CertRequest {
    /// With at least one name where it can have a certificate at all.
    pub(crate) fn named(mut self) -> Self {
        if self.names.is_empty() && self.unnamed {
            if let CertificateSource::Files(files) = &self.source {
                let names = Leaf::read(&files.chain.text).map(|leaf| leaf.names).unwrap_or_default();
                self.names = names.iter().filter_map(|name| name.parse().ok()).collect();
            }
            if self.names.is_empty() {
                self.names.extend("localhost".parse().ok());
            }
        }
        self
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 80, tls: 443 }
    }
}

impl ManagerOptions {
    /// With the usual ports, the system's name servers, and nobody who listens to findings.
    pub fn new(dir: impl Into<PathBuf>, issuance: Issuance, requests: Vec<CertRequest>) -> Self {
        Self {
            dir: dir.into(),
            issuance,
            requests,
            report: Arc::new(|_| {}),
            ports: Ports::default(),
            resolver: None,
            checkpoint: None,
        }
    }
}
