use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ClientHello;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;

use crate::{BoxFuture, ConnInfo, Drain, Handler};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate and its key cannot be used: {0}")]
    Certificate(rustls::Error),
    #[error("TLS session tickets cannot be set up: {0}")]
    Tickets(rustls::Error),
}

/// Chooses the TLS settings for a connection by its first message: by the name that the client asks for, by its protocols.
/// Called on the data plane: must not wait.
pub trait TlsSelect: Send + Sync {
    /// `None` refuses the connection with the alert `unrecognized_name` (RFC 6066 section 3).
    fn select(&self, hello: &ClientHello<'_>) -> Option<TlsChoice>;
}

/// What becomes of a connection that begins with TLS.
pub enum TlsChoice {
    /// TLS ends here.
    Here(TlsHere),
    /// It does not end here: somebody else takes the bytes as they are.
    Elsewhere(Arc<dyn Passage>),
}

/// How TLS ends here, and who gets what was inside.
pub struct TlsHere {
    pub config: Arc<ServerConfig>,
    /// Instead of the listener's own.
    pub handler: Option<Arc<dyn Handler>>,
    /// Put the exporter with this label into [`crate::TlsInfo::exporter`].
    pub export: Option<&'static [u8]>,
}

/// Takes connections whose TLS is not ours to end.
pub trait Passage: Send + Sync {
    /// `early` is what was read from `socket` already: the whole ClientHello, and what came with it.
    fn pass(&self, socket: TcpStream, early: Vec<u8>, info: Arc<ConnInfo>, drain: Drain) -> BoxFuture<'_, ()>;
}

impl From<Arc<ServerConfig>> for TlsChoice {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::Here(TlsHere { config, handler: None, export: None })
    }
}

/// The same settings for everybody.
impl TlsSelect for Arc<ServerConfig> {
    fn select(&self, _: &ClientHello<'_>) -> Option<TlsChoice> {
        Some(self.clone().into())
    }
}

/// TLS 1.2 and 1.3 with one certificate, HTTP/2 and HTTP/1.1 by ALPN, resumption by tickets whose keys rotate,
/// no early data (it can be replayed).
///
/// # Errors
/// When key and certificate do not fit.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Tickets)?;
    // One ticket is enough: a browser that wants a second connection gets another ticket on the first.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
