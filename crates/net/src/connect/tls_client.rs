//! TLS towards upstreams.

use std::sync::{Arc, OnceLock};

use doorstep_model::Upstream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ConnectError, connector};
use crate::Duplex;

/// The two ways to speak TLS with an upstream, each set up when first needed.
#[derive(Default)]
pub(super) struct TlsClients {
    verified: OnceLock<Result<Arc<ClientConfig>, String>>,
    insecure: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl std::fmt::Debug for TlsClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClients")
    }
}

impl TlsClients {
    /// Shakes hands over `stream`, asking for `host` by SNI and HTTP/1.1 by ALPN.
    pub(super) async fn handshake<S: Duplex>(
        &self,
        stream: S,
        to: &Upstream,
        host: &str,
    ) -> Result<TlsStream<S>, ConnectError> {
        let failed = |reason: String| ConnectError::Tls { address: connector::address(to), reason };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| failed(format!("{bare} is not a name a certificate could have")))?;
        let config = if to.insecure {
            self.insecure.get_or_init(insecure_config).clone()
        } else if let Some(ready) = self.verified.get() {
            ready.clone()
        } else {
            // Reads a few hundred files: not on the thread that serves.
            let loaded =
                tokio::task::spawn_blocking(verified_config).await.map_err(|error| failed(error.to_string()))?;
            self.verified.get_or_init(|| loaded).clone()
        };
        TlsConnector::from(config.map_err(failed)?).connect(name, stream).await.map_err(|error| failed(explain(&error)))
    }
}

fn verified_config() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this computer has no trusted root certificates. Install the package ca-certificates".to_owned());
    }
    let config = builder(provider())?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(http11(config)))
}

fn insecure_config() -> Result<Arc<ClientConfig>, String> {
    let provider = provider();
    let config = builder(provider.clone())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnything(provider)))
        .with_no_client_auth();
    Ok(Arc::new(http11(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn http11(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// What went wrong, and what to do about a certificate that does not verify.
fn explain(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            let fault = match fault {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "its certificate is for another name"
                }
                CertificateError::UnknownIssuer | CertificateError::Other(_) => {
                    "its certificate is signed by nobody that this computer trusts"
                }
                _ => return format!("{error}. If you trust this app all the same, add --insecure-upstream"),
            };
            format!("{fault}. If you trust this app all the same, add --insecure-upstream")
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS. Use http:// instead of https://".to_owned(),
        _ => error.to_string(),
    }
}

/// Accepts any certificate, for upstreams marked insecure; signatures are still checked.
#[derive(Debug)]
struct TrustAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
