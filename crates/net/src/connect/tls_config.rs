//! TLS settings for upstreams.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What upstreams can differ in.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub insecure: bool,
    pub h2: bool,
    /// PEM, instead of the roots that this computer trusts.
    pub roots: Option<Arc<str>>,
}

impl Settings {
    pub fn is_same(&self, other: &Self) -> bool {
        let same_roots = match (&self.roots, &other.roots) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (None, None) => true,
            _ => false,
        };
        (self.insecure, self.h2) == (other.insecure, other.h2) && same_roots
    }

    /// Sets TLS up. Reads a few hundred files where the roots are those of this computer.
    ///
    /// # Errors
    /// In words, when there are no usable roots.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = if self.insecure {
            let trusting = Arc::new(TrustAnything(provider));
            builder.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth()
        } else {
            let roots = self.roots.as_ref().map_or_else(system_roots, |pem| own_roots(pem))?;
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        config.alpn_protocols = vec![if self.h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Arc::new(config))
    }
}

/// A client that takes any certificate, whose key must still have signed the handshake: for whoever wants to see it.
///
/// # Errors
/// In words, when the cryptography cannot be set up.
pub fn any_certificate() -> Result<Arc<ClientConfig>, String> {
    Settings { insecure: true, h2: false, roots: None }.config()
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this computer has no trusted root certificates. Install the package ca-certificates".to_owned());
    }
    Ok(roots)
}

fn own_roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("the roots given for it cannot be read: {error:?}"))?;
        roots.add(certificate).map_err(|error| format!("the roots given for it cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("the file of roots given for it has no certificate in it".to_owned());
    }
    Ok(roots)
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
