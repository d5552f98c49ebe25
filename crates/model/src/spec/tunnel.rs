use std::net::SocketAddr;

use super::{Pem, UpstreamAddr};
use crate::{Secret, Via};

/// What is lent to visitors from elsewhere, and by whom the address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// In the order of preference: the next is taken when one fails.
    pub vias: Vec<Via>,
    /// What makes this computer known to each doorstep relay among them: its identity file.
    pub identities: Vec<(Via, Secret<Pem>)>,
    /// What a kite's owner shares with its front-end.
    pub kite_secret: Option<Secret<String>>,
    /// For servers that are reached by ssh.
    pub ssh: Option<SshFiles>,
    pub lent: Vec<Lent>,
}

impl Tunnel {
    /// Whether a site is lent.
    pub fn lends(&self, site: &str) -> bool {
        self.lent.iter().any(|lent| matches!(lent, Lent::Web(web) if web.site == site))
    }
}

/// What it takes to log in by ssh where nobody is there to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshFiles {
    /// A private key, as `ssh-keygen` writes it.
    pub key: Secret<Pem>,
    /// Keys of servers, a line for each.
    pub known_hosts: Pem,
}

/// One thing that is lent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lent {
    /// A site, under a name of its own.
    Web(WebLent),
    /// Connections as they are, from a leased port.
    Tcp {
        to: UpstreamAddr,
        port: u16,
        /// It is told who the visitor is by a PROXY protocol header (version 2).
        proxy_header: bool,
    },
    /// Datagrams, from a leased port.
    Udp { to: SocketAddr, port: u16 },
}

/// How a site is lent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WebLent {
    /// The site's own name.
    pub site: String,
    /// `blog` beneath the relay's domain, a whole name of one's own, or empty for one that the relay makes up.
    pub name: String,
    /// What a made-up name is remembered by: the same one each time.
    pub label: String,
    /// TLS ends on this computer, and the relay sees ciphertext only.
    pub end_to_end: bool,
    /// The port, where a name cannot be lent (any ssh server); 0 for any.
    pub port: u16,
}
