use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use doorstep_proto::tunnel::ALPN;
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{DialError, Road};

/// Settings of TLS for each road, made when first needed.
#[derive(Default)]
pub(super) struct Clients {
    direct: Mutex<Option<Arc<ClientConfig>>>,
    upgrade: Mutex<Option<Arc<ClientConfig>>>,
}

impl Clients {
    pub async fn config(&self, road: Road, pin: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, DialError> {
        let kept = match road {
            Road::Direct => &self.direct,
            Road::Upgrade => &self.upgrade,
        };
        if let Some(config) = kept.lock().clone() {
            return Ok(config);
        }
        // A few hundred files, where roots are needed.
        let failed = |reason: String| DialError::Certificate { relay: "the relay".to_owned(), reason };
        let made = tokio::task::spawn_blocking(move || make(road, pin)).await;
        let config = made.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        *kept.lock() = Some(config.clone());
        Ok(config)
    }
}

fn make(road: Road, pin: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // By Upgrade, the relay shows the certificate that browsers see.
    let authorities = match (road, pin) {
        (Road::Direct, Some(_)) => None,
        _ => Some(authorities(&provider)?),
    };
    let verifier = Arc::new(Verifier { pin, authorities, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![match road {
        Road::Direct => ALPN.as_bytes().to_vec(),
        Road::Upgrade => b"http/1.1".to_vec(),
    }];
    // Relays give no tickets.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Those that this computer trusts (or `SSL_CERT_FILE`, `SSL_CERT_DIR`); where there are none, Mozilla's.
fn authorities(provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// Takes the pinned key, whatever its certificate says of names and times; else what an authority vouches for.
#[derive(Debug)]
struct Verifier {
    pin: Option<[u8; 32]>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(pin) = &self.pin {
            let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
            if digest(&SHA256, &key).as_ref() == pin {
                return Ok(ServerCertVerified::assertion());
            }
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
