//! TLS towards upstreams.

use std::sync::Arc;

use doorstep_model::{Upstream, UpstreamProtocol};
use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls_config::Settings;
use super::{ConnectError, connector};
use crate::{Duplex, limits};

/// The ways to speak TLS with upstreams, each set up when first needed.
#[derive(Default)]
pub(super) struct TlsClients {
    ready: Mutex<Vec<(Settings, Config)>>,
}

/// Or why there can be none, in words.
type Config = Result<Arc<ClientConfig>, String>;

impl std::fmt::Debug for TlsClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClients")
    }
}

impl TlsClients {
    /// Shakes hands over `stream`, asking for the upstream's server name, or else `host`, by SNI, and for its protocol by
    /// ALPN.
    pub(super) async fn handshake<S: Duplex>(
        &self,
        stream: S,
        to: &Upstream,
        host: &str,
    ) -> Result<TlsStream<S>, ConnectError> {
        let failed = |reason: String| ConnectError::Tls { address: connector::address(to), reason };
        let bare = to.server_name.as_deref().unwrap_or(host).trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| failed(format!("{bare} is not a name a certificate could have")))?;
        let h2 = to.protocol == UpstreamProtocol::Http2;
        let roots = to.roots.as_ref().map(|pem| pem.text.clone());
        let config = self.config(Settings { insecure: to.insecure, h2, roots }).await.map_err(failed)?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| failed(explain(&error, to)))?;
        // Without ALPN it would take our first words for HTTP/1.1 (RFC 9113 section 3.2).
        if h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(failed("it does not speak HTTP/2".to_owned()));
        }
        Ok(stream)
    }

    async fn config(&self, settings: Settings) -> Config {
        if let Some((_, ready)) = self.ready.lock().iter().find(|(known, _)| known.is_same(&settings)) {
            return ready.clone();
        }
        // Reads many files: not on the thread that serves.
        let wanted = settings.clone();
        let made = tokio::task::spawn_blocking(move || wanted.config()).await.map_err(|error| error.to_string())?;
        let mut ready = self.ready.lock();
        if ready.iter().all(|(known, _)| !known.is_same(&settings)) {
            if ready.len() >= limits::TLS_CLIENTS {
                drop(ready.remove(0));
            }
            ready.push((settings, made.clone()));
        }
        made
    }
}

/// What went wrong, and what to do about a certificate that does not verify.
fn explain(error: &std::io::Error, to: &Upstream) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            let fault = match fault {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "its certificate is for another name"
                }
                CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_)
                    if to.roots.is_some() =>
                {
                    return "its certificate is signed by none of the roots given for it".to_owned();
                }
                CertificateError::UnknownIssuer | CertificateError::Other(_) => {
                    "its certificate is signed by nobody that this computer trusts"
                }
                _ => {
                    return format!(
                        "{error}. If you trust this app all the same, add --insecure-upstream (doorstep.toml: insecure = true)"
                    );
                }
            };
            format!(
                "{fault}. If you trust this app all the same, add --insecure-upstream (doorstep.toml: insecure = true)"
            )
        }
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol))
            if to.protocol == UpstreamProtocol::Http2 =>
        {
            "it does not speak HTTP/2".to_owned()
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS. Use http:// instead of https://".to_owned(),
        _ => error.to_string(),
    }
}
