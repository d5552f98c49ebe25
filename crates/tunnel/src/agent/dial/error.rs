use std::io;

use doorstep_model::Blame;
use doorstep_net::ConnectError;
use rustls::CertificateError;

/// Why there is no connection to a relay.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{0:?} is no address of a relay")]
    Address(String),
    #[error(transparent)]
    Connect(ConnectError),
    #[error("{relay} did not take a connection within {seconds} s")]
    TimedOut { relay: String, seconds: u64 },
    #[error("{relay} took the connection, and said nothing for {seconds} s")]
    Silent { relay: String, seconds: u64 },
    #[error("the proxy {proxy}: {reason}")]
    Proxy { proxy: String, reason: String },
    #[error("whoever answers at {relay} is not the relay that this computer joined: it shows another key")]
    OtherKey { relay: String },
    #[error("the certificate of {relay} cannot be trusted: {reason}")]
    Certificate { relay: String, reason: String },
    /// Also where something on the way does not let the protocol through.
    #[error("{relay} is no doorstep relay, or something on the way to it does not let tunnels through: {reason}")]
    NoTunnel { relay: String, reason: String, middlebox: bool },
}

impl DialError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Connect(error) => error.blame(),
            Self::Address(_) | Self::TimedOut { .. } | Self::Silent { .. } | Self::Proxy { .. } => Blame::Environment,
            Self::OtherKey { .. } | Self::Certificate { .. } | Self::NoTunnel { .. } => Blame::Upstream,
        }
    }

    /// What to do, where waiting does not help; else empty.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Address(_) => "Write it as host or host:port, as in the invitation.",
            Self::Proxy { .. } => {
                "Check HTTPS_PROXY (http://user:password@host:port), or name the relay in NO_PROXY to go without."
            }
            Self::OtherKey { .. } => {
                "If the relay was set up anew, ask its owner for an invitation and join again. If not, somebody stands between: use another network."
            }
            Self::Certificate { .. } => {
                "If the relay has a certificate of an authority of its own, name that authority's file in SSL_CERT_FILE, or ask for an invitation with a pin."
            }
            Self::NoTunnel { .. } => "Check the address, and whether `doorstep relay` runs there.",
            Self::Connect(_) | Self::TimedOut { .. } | Self::Silent { .. } => "",
        }
    }

    pub(super) fn no_tunnel(relay: &str, reason: &str) -> Self {
        Self::NoTunnel { relay: relay.to_owned(), reason: reason.to_owned(), middlebox: true }
    }

    /// The same connection might come about as plain HTTPS.
    pub(super) fn smells_of_middlebox(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::NoTunnel { middlebox: true, .. })
    }

    /// Worth more to people than what the road before it failed with.
    pub(super) fn is_telling(&self) -> bool {
        matches!(self, Self::OtherKey { .. } | Self::Certificate { .. } | Self::NoTunnel { middlebox: false, .. })
    }

    pub(super) fn handshake(relay: &str, pinned: bool, error: &io::Error) -> Self {
        let relay = relay.to_owned();
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) if pinned => {
                Self::OtherKey { relay }
            }
            Some(rustls::Error::InvalidCertificate(reason)) => Self::Certificate { relay, reason: reason.to_string() },
            Some(other) => Self::NoTunnel { relay, reason: other.to_string(), middlebox: true },
            None => {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "the connection was closed during the TLS handshake".to_owned(),
                    _ => error.to_string(),
                };
                Self::NoTunnel { relay, reason, middlebox: true }
            }
        }
    }
}
