//! This computer's own certificate authority, for names that no public one can know.
//!
//! There are two: one that can only sign for local names and private addresses, so that trusting it risks little, and one
//! for every other name, made only where a site asks for a local certificate for such a name.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use doorstep_store::{read_private, write_private, write_public};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use crate::bundle::random_serial;
use crate::limits::{AUTHORITY, BACKDATED, LEAF};
use crate::storage::{Pair, Storage};
use crate::{CertName, CertsError};

/// The suffixes that the constrained authority signs for (RFC 6761, 6762, 8375, and those that home routers use).
const SUFFIXES: [&str; 6] = ["localhost", "local", "internal", "home.arpa", "lan", "home"];

/// The addresses that the constrained authority signs for: loopback, private and link-local ones.
const NETWORKS: [(IpAddr, u8); 8] = [
    (IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(std::net::Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Local,
    Any,
}

impl Scope {
    fn of(name: &CertName) -> Self {
        let below = |host: &str| SUFFIXES.iter().any(|suffix| host == *suffix || host.ends_with(&format!(".{suffix}")));
        let local = match name {
            CertName::Host(_) => below(&name.base()),
            CertName::Ip(ip) => NETWORKS
                .iter()
                .any(|(net, prefix)| ipnet::IpNet::new(*net, *prefix).is_ok_and(|network| network.contains(ip))),
        };
        if local { Self::Local } else { Self::Any }
    }

    fn dir(self, storage: &Storage) -> PathBuf {
        match self {
            Self::Local => storage.authority_dir(),
            Self::Any => storage.authority_dir().join("any-name"),
        }
    }
}

/// The root certificates that this computer made, those that exist: what `doorstep trust` is about.
pub fn roots(state: &Path) -> Vec<PathBuf> {
    let storage = Storage::new(state);
    let paths = [Scope::Local, Scope::Any].map(|scope| scope.dir(&storage).join("root.pem"));
    paths.into_iter().filter(|path| path.is_file()).collect()
}

/// A certificate for `name`, good for a week, and its key. The chain ends before the root, as clients that trust it have it.
pub(crate) fn issue(storage: &Storage, name: &CertName, now: SystemTime) -> Result<Pair, CertsError> {
    let issuer = root(storage, Scope::of(name), now)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(now + LEAF);
    params.serial_number = Some(random_serial()?);
    params.subject_alt_names = vec![match name {
        CertName::Ip(ip) => SanType::IpAddress(*ip),
        CertName::Host(_) => SanType::DnsName(name.to_string().try_into()?),
    }];
    // Clients look at the alternative names alone; a common name would have to obey the constraints as well.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Pair { chain: certificate.pem(), key: key.serialize_pem() })
}

/// The authority kept in the state, or a new one, which is kept there before anything is signed by it.
fn root(storage: &Storage, scope: Scope, now: SystemTime) -> Result<Issuer<'static, KeyPair>, CertsError> {
    let dir = scope.dir(storage);
    let (root_path, key_path) = (dir.join("root.pem"), dir.join("key.pem"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertsError::Io { path, source }
    };
    match read_private(&key_path) {
        Ok(text) => {
            let key = KeyPair::from_pem(&text)?;
            let params = root_params(&key, scope, now)?;
            // The certificate comes after the key, so a crash between the two leaves the key alone.
            if CertificateDer::from_pem_file(&root_path).is_err() {
                let root = params.self_signed(&key)?;
                write_public(&root_path, root.pem().as_bytes()).map_err(failed(&root_path))?;
            }
            Ok(Issuer::new(params, key))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            let params = root_params(&key, scope, now)?;
            let root = params.self_signed(&key)?;
            storage.make(dir).map_err(failed(&key_path))?;
            write_private(&key_path, key.serialize_pem().as_bytes()).map_err(failed(&key_path))?;
            write_public(&root_path, root.pem().as_bytes()).map_err(failed(&root_path))?;
            Ok(Issuer::new(params, key))
        }
        Err(error) => Err(failed(&key_path)(error)),
    }
}

/// All that follows from the key is the same each time: leaves name their issuer by it.
fn root_params(key: &KeyPair, scope: Scope, now: SystemTime) -> Result<CertificateParams, CertsError> {
    let digest = digest::digest(&digest::SHA256, key.public_key_raw());
    let short: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let what = if scope == Scope::Local { "local names" } else { "any name" };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("doorstep on this computer, {what} ({short})"));
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(now + AUTHORITY);
    params.serial_number = Some(random_serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if scope == Scope::Local {
        let names = SUFFIXES.iter().map(|suffix| GeneralSubtree::DnsName((*suffix).to_owned()));
        let addresses =
            NETWORKS.iter().map(|(ip, prefix)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, *prefix)));
        let permitted_subtrees = names.chain(addresses).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::leaf::since_1970;

    fn now() -> SystemTime {
        since_1970(1_800_000_000)
    }

    fn trusted(root: &Path, leaf: &str, name: &str) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        verifier.verify_server_cert(&leaf, &[], &name, &[], at).map(drop)
    }

    #[test]
    fn what_it_signs_is_trusted_by_its_root_and_the_root_stays() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path());
        root(&storage, Scope::Local, now()).unwrap();
        let root = dir.path().join("authority/root.pem");
        for (name, asked) in [
            ("app.localhost", "app.localhost"),
            ("*.nas.home.arpa", "photos.nas.home.arpa"),
            ("192.168.1.7", "192.168.1.7"),
            ("::1", "::1"),
        ] {
            let pair = issue(&storage, &name.parse().unwrap(), now()).unwrap();
            trusted(&root, &pair.chain, asked).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(crate::tls::certified(&pair.chain, &pair.key).is_ok());
        }
        assert_eq!(roots(dir.path()), std::slice::from_ref(&root));
        let mode = std::fs::metadata(root.with_file_name("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Lost, for instance by a crash before it was written: the same key gets a new certificate.
        let before = issue(&storage, &"a.local".parse().unwrap(), now()).unwrap();
        std::fs::remove_file(&root).unwrap();
        issue(&storage, &"b.local".parse().unwrap(), now()).unwrap();
        trusted(&root, &before.chain, "a.local").unwrap();
    }

    #[test]
    fn the_root_for_local_names_is_good_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::new(dir.path());
        root(&storage, Scope::Local, now()).unwrap();
        let constrained = dir.path().join("authority/root.pem");
        for name in ["shop.example.com", "9.9.9.9"] {
            let pair = issue(&storage, &name.parse().unwrap(), now()).unwrap();
            assert!(trusted(&constrained, &pair.chain, name).is_err());
            trusted(&dir.path().join("authority/any-name/root.pem"), &pair.chain, name).unwrap();
        }
        // Even signed by its key: the constraint is in the root itself.
        let local = root(&storage, Scope::Local, now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let forged = CertificateParams::new(vec!["bank.example.com".into()]).unwrap().signed_by(&key, &local).unwrap();
        assert!(trusted(&constrained, &forged.pem(), "bank.example.com").is_err());
    }
}
