//! rustls settings, as many as needed and no more.

use std::sync::Arc;

use doorstep_model::PemPair;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::CertsError;

/// The protocol of the challenge tls-alpn-01 (RFC 8737 section 6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// For all sites that let everybody in: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, tickets whose keys rotate. rustls resumes a
/// session only under the name it began with.
pub(crate) fn shared(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, CertsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = web_protocols();
    config.ticketer = Ticketer::new()?;
    // One is enough: a browser that wants a second connection gets another ticket on the first.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// For a site that wants certificates of its clients. Sessions are never resumed, so each connection shows a certificate
/// that is valid at that time, under the authorities of that time.
pub(crate) fn mutual(
    resolver: Arc<dyn ResolvesServerCert>,
    authorities: &PemPair,
) -> Result<Arc<ServerConfig>, CertsError> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.chain.text.as_bytes()) {
        roots.add(certificate.map_err(|error| CertsError::Pem(error.to_string()))?)?;
    }
    if roots.is_empty() {
        return Err(CertsError::Pem("there is no certificate in it".into()));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| CertsError::Pem(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = web_protocols();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn web_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// Answers tls-alpn-01 for `name` (RFC 8737 section 3): a certificate for it with the digest of the key authorization.
/// Gives the certificate too.
pub(crate) fn challenge(
    name: &str,
    digest: &[u8; 32],
) -> Result<(Arc<ServerConfig>, CertificateDer<'static>), CertsError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?.der().clone();
    let provider = default_provider();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    // Not by `with_single_cert`: that refuses a certificate with a critical extension that it does not know.
    let certified = CertifiedKey::new(vec![certificate.clone()], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((Arc::new(config), certificate))
}

/// A chain and the key to its first certificate.
///
/// # Errors
/// When one of them cannot be read, or they do not belong together.
pub(crate) fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, CertsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertsError::Pem(format!("the certificate cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(CertsError::Pem("there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| CertsError::Pem(format!("the key cannot be read: {error}")))?;
    CertifiedKey::from_der(chain, key, &default_provider())
        .map(Arc::new)
        .map_err(|error| CertsError::Pem(format!("the certificate and its key do not work together: {error}")))
}
