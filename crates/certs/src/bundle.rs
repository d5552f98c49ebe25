use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use doorstep_model::Hostname;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use time::OffsetDateTime;

use crate::local::Subject;
use crate::{CertsError, limits};

/// A certificate with its key, kept in one file, so that the two always fit together.
pub(crate) struct Bundle {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    pem: String,
}

/// Why a kept certificate is not used again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Too little of its life is left, or it has not begun.
    Expiring,
    Broken(String),
}

impl Bundle {
    /// Makes and signs a new certificate for `subject`, with `key`.
    pub(crate) fn generate(subject: &Subject, key: &KeyPair, now: SystemTime) -> Result<Self, CertsError> {
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::from(now - limits::BACKDATED);
        params.not_after = params.not_before + limits::VALIDITY;
        params.serial_number = Some(random_serial()?);
        params.subject_alt_names = alternative_names(subject)?;
        params.distinguished_name.push(DnType::CommonName, "doorstep on this network");
        // Firefox refuses a certificate authority as a server's own certificate.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(key)?;
        Ok(Self {
            pem: key.serialize_pem() + &certificate.pem(),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the {what} in it is damaged"));
        let pem = doorstep_store::read_private(path)?;
        Ok(Self {
            key: PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| damaged("key"))?,
            certificate: CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| damaged("certificate"))?,
            pem,
        })
    }

    /// The file's content: the key, then the certificate.
    pub(crate) fn to_pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn key_pair(&self) -> Option<KeyPair> {
        KeyPair::try_from(self.key.secret_der()).ok()
    }

    /// Whether it can serve `subject` from `now` on for a while, as a visitor would see it who trusts it.
    pub(crate) fn check(&self, subject: &Subject, now: SystemTime) -> Result<(), Unfit> {
        let broken = |error: rustls::Error| Unfit::Broken(error.to_string());
        let provider = Arc::new(default_provider());
        // Fails where key and certificate do not belong together.
        CertifiedKey::from_der(vec![self.certificate.clone()], self.key.clone_key(), &provider).map_err(broken)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(broken)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Unfit::Broken(error.to_string()))?;
        for name in server_names(subject) {
            for time in [now, now + limits::RENEW_BEFORE] {
                let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let time = UnixTime::since_unix_epoch(since_1970);
                verifier.verify_server_cert(&self.certificate, &[], &name, &[], time).map_err(unfit)?;
            }
        }
        Ok(())
    }
}

fn unfit(error: rustls::Error) -> Unfit {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error {
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => Unfit::Expiring,
        error => Unfit::Broken(error.to_string()),
    }
}

/// 127 random bits. rcgen would derive the number from the key, and browsers refuse two certificates of one issuer
/// with the same number.
pub(crate) fn random_serial() -> Result<SerialNumber, CertsError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CertsError::Random)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn alternative_names(subject: &Subject) -> Result<Vec<SanType>, CertsError> {
    let dns = |name: &Hostname| Ok(SanType::DnsName(name.as_str().to_owned().try_into()?));
    let names = subject.names.iter().map(dns).collect::<Result<Vec<_>, CertsError>>()?;
    Ok(names.into_iter().chain(subject.ips.iter().copied().map(SanType::IpAddress)).collect())
}

/// What visitors would verify. Names that only a browser takes for valid (with `_`) are left out.
fn server_names(subject: &Subject) -> impl Iterator<Item = ServerName<'static>> + '_ {
    let names = subject.names.iter().filter_map(|name| ServerName::try_from(name.as_str().to_owned()).ok());
    names.chain(subject.ips.iter().copied().map(|ip: IpAddr| ServerName::IpAddress(ip.into())))
}
