use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use doorstep_model::Hostname;
use doorstep_proto::tunnel::ALPN;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::registry::{RegistryError, sha256};

/// What a relay is known by to its agents, for as long as it exists: a P-256 key and a certificate that it signed itself.
pub struct RelayIdentity {
    pin: [u8; 32],
    config: Arc<ServerConfig>,
}

impl RelayIdentity {
    /// Reads it, or makes it if there is none. A certificate for another domain is replaced; the key, and with it the pin,
    /// never is.
    ///
    /// # Errors
    /// A file that cannot be read or written, or is damaged: it is left as it is.
    pub(crate) fn open(path: &Path, domain: &Hostname) -> Result<Self, RegistryError> {
        let io = |cause| RegistryError::Io { path: path.to_owned(), cause };
        let broken = |reason: String| RegistryError::Identity { path: path.to_owned(), reason };
        if !path.exists() {
            let key = KeyPair::generate().map_err(|error| broken(format!("no key could be made: {error}")))?;
            make_once(path, &text(&key, domain).map_err(broken)?).map_err(io)?;
        }
        let pem = doorstep_store::read_private(path).map_err(io)?;
        let key = KeyPair::from_pem(&pem).map_err(|error| broken(format!("the key in it is damaged: {error}")))?;
        let mut certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| broken(format!("the certificate in it is damaged: {error}")))?;
        let spki = key.subject_public_key_info();
        if !is_for(&certificate, &spki, domain) {
            let new = text(&key, domain).map_err(broken)?;
            doorstep_store::write_private(path, new.as_bytes()).map_err(io)?;
            certificate = CertificateDer::from_pem_slice(new.as_bytes()).map_err(|error| broken(error.to_string()))?;
        }
        let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = server_config(certificate, der).map_err(|error| broken(error.to_string()))?;
        Ok(Self { pin: sha256(&spki), config: Arc::new(config) })
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo): what invitations and agents pin.
    pub fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// TLS for ALPN `doorstep/1`: TLS 1.3 only, no tickets, no early data.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![ALPN.as_bytes().to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn text(key: &KeyPair, domain: &Hostname) -> Result<String, String> {
    let mut params = CertificateParams::new(vec![domain.to_string()]).map_err(|error| error.to_string())?;
    params.distinguished_name.push(DnType::CommonName, format!("doorstep relay {domain}"));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(key).map_err(|error| error.to_string())?;
    Ok(key.serialize_pem() + &certificate.pem())
}

fn is_for(certificate: &CertificateDer<'_>, spki: &[u8], domain: &Hostname) -> bool {
    let Ok((_, x509)) = X509Certificate::from_der(certificate) else { return false };
    let names = x509.subject_alternative_name().ok().flatten();
    let named = |name: &x509_parser::extensions::GeneralName<'_>| matches!(name, x509_parser::extensions::GeneralName::DNSName(name) if *name == domain.as_str());
    x509.public_key().raw == spki && names.is_some_and(|names| names.value.general_names.iter().any(named))
}

/// Makes a file that only its owner may read, unless somebody else made it meanwhile; never half of it is seen.
pub(crate) fn make_once(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let made = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    let _ = fs::remove_file(&temporary);
    made?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_once_and_keeps_its_key_under_another_domain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.pem");
        let domain: Hostname = "tun.example.com".parse().unwrap();
        let first = RelayIdentity::open(&path, &domain).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let again = RelayIdentity::open(&path, &domain).unwrap();
        assert_eq!((first.pin(), &text), (again.pin(), &fs::read_to_string(&path).unwrap()));
        let moved = RelayIdentity::open(&path, &"tun.example.org".parse().unwrap()).unwrap();
        assert_eq!(first.pin(), moved.pin());
        assert_ne!(text, fs::read_to_string(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let config = moved.server_config();
        assert_eq!(config.alpn_protocols, [b"doorstep/1"]);
        assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
    }

    #[test]
    fn a_damaged_one_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.pem");
        doorstep_store::write_private(&path, b"nonsense").unwrap();
        let failed = RelayIdentity::open(&path, &"tun.example.com".parse().unwrap()).err().unwrap();
        assert!(failed.to_string().contains("the key in it is damaged") && failed.fix().contains("backup"), "{failed}");
        assert_eq!(fs::read(&path).unwrap(), b"nonsense");
    }
}
