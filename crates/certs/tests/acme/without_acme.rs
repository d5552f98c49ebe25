//! What needs no authority: local names, certificate files, and who gets past the handshake.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use doorstep_certs::{
    CertRequest, CertState, CertTable, Http01Answers, Manager, ManagerOptions, RenewError, SourceKind, fingerprint,
};
use doorstep_model::{CertificateSource, Finding, Issuance, Pem, PemPair, Secret};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::*;

struct Place {
    dir: tempfile::TempDir,
    table: CertTable,
    web: Web,
    findings: Arc<Mutex<Vec<Finding>>>,
}

impl Place {
    async fn new() -> Self {
        let table = CertTable::new().unwrap();
        let web = Web::start(table.clone(), Http01Answers::default()).await;
        Self { dir: tempfile::tempdir().unwrap(), table, web, findings: Arc::default() }
    }

    fn manager(&self, requests: Vec<CertRequest>) -> Manager {
        let findings = self.findings.clone();
        let options = ManagerOptions {
            report: Arc::new(move |finding| findings.lock().push(finding)),
            ..ManagerOptions::new(self.dir.path(), Issuance::default(), requests)
        };
        Manager::new(options, self.table.clone(), Http01Answers::default())
    }

    fn take_ids(&self) -> Vec<&'static str> {
        self.findings.lock().drain(..).map(|finding| finding.id).collect()
    }
}

fn pem(name: &str, text: String) -> Pem {
    Pem { path: name.into(), text: text.into() }
}

fn files(name: &str, days: i64) -> PemPair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(86400);
    params.not_before = (now - day * 90).into();
    params.not_after = (now + day * days as u32).into();
    let chain = params.self_signed(&key).unwrap().pem();
    PemPair { chain: pem("own.pem", chain), key: Some(Secret::new(pem("own.key", key.serialize_pem()))) }
}

fn from_files(pair: &PemPair, name: &str) -> CertRequest {
    CertRequest { source: CertificateSource::Files(pair.clone()), ..request(&[name]) }
}

#[tokio::test]
async fn local_names_have_a_certificate_at_once_that_the_root_vouches_for() {
    let place = Place::new().await;
    let names = ["app.localhost", "*.nas.local", "127.0.0.1"];
    let manager = place.manager(vec![request(&names)]);
    assert!(all_valid(&manager) && manager.status().iter().all(|status| status.source == SourceKind::Local));
    let roots = doorstep_certs::roots(place.dir.path());
    for name in ["app.localhost", "x.nas.local", "127.0.0.1"] {
        let seen = connect(place.web.tls, name, client(&roots[0], None)).await;
        assert_eq!(seen.as_deref(), Ok("hello"), "{name}");
    }
    let again = place.manager(vec![request(&names)]);
    assert_eq!(again.status(), manager.status());
    assert_eq!(place.take_ids(), Vec::<&str>::new());
    manager.renew(&"app.localhost".parse().unwrap()).unwrap();
    let before = status(&manager, "app.localhost").certificate;
    run_until(&manager, |manager| status(manager, "app.localhost").certificate != before).await;
}

#[tokio::test]
async fn files_are_swapped_and_a_bad_pair_leaves_the_good_one() {
    let place = Place::new().await;
    let good = files("a.example.com", 300);
    let manager = place.manager(vec![from_files(&good, "a.example.com")]);
    let first = handshake(place.web.tls, "a.example.com").await.unwrap();
    assert_eq!(manager.renew(&"a.example.com".parse().unwrap()), Err(RenewError::Files));
    let other = files("a.example.com", 300);
    let mixed = PemPair { chain: other.chain.clone(), key: good.key.clone() };
    manager.update(Issuance::default(), vec![from_files(&mixed, "a.example.com")]);
    assert_eq!(place.take_ids(), ["certificate-files-unusable"]);
    assert_eq!(handshake(place.web.tls, "a.example.com").await.unwrap(), first);
    assert!(status(&manager, "a.example.com").error.is_some());
    manager.update(Issuance::default(), vec![from_files(&other, "a.example.com")]);
    let second = handshake(place.web.tls, "a.example.com").await.unwrap();
    assert_ne!(second, first);
    let now = status(&manager, "a.example.com");
    assert_eq!((now.error, now.certificate.unwrap().fingerprint), (None, fingerprint(&second)));
    // For another name: served, and said.
    manager.update(Issuance::default(), vec![from_files(&files("b.example.com", 300), "a.example.com")]);
    assert_eq!(place.take_ids(), ["certificate-other-names"]);
    // The site is gone, and with it its name.
    manager.update(Issuance::default(), Vec::new());
    assert!(handshake(place.web.tls, "a.example.com").await.is_err());
}

#[tokio::test]
async fn the_end_of_a_certificate_from_files_is_announced() {
    let place = Place::new().await;
    let manager = place.manager(vec![from_files(&files("a.example.com", 20), "a.example.com")]);
    assert_eq!(status(&manager, "a.example.com").state, CertState::Expiring);
    run_until(&manager, |_| !place.findings.lock().is_empty()).await;
    assert_eq!(place.take_ids(), ["certificate-expiring"]);
}

#[tokio::test]
async fn only_clients_of_the_authority_get_past_the_handshake() {
    let place = Place::new().await;
    let (authority, good) = client_identity("authority");
    let (_, stranger) = client_identity("stranger");
    let mut secret = request(&["secret.localhost"]);
    secret.client_ca = Some(PemPair { chain: pem("clients.pem", authority), key: None });
    let requests = vec![request(&["open.localhost"]), secret];
    let manager = place.manager(requests.clone());
    let roots = doorstep_certs::roots(place.dir.path());
    assert!(place.table.wants_client_certificate("secret.localhost"));
    assert!(!place.table.wants_client_certificate("open.localhost"));
    let config = client(&roots[0], Some(good));
    for _ in 0..3 {
        assert_eq!(connect(place.web.tls, "secret.localhost", config.clone()).await.as_deref(), Ok("hello"));
        assert!(
            connect(place.web.tls, "secret.localhost", client(&roots[0], Some(stranger.clone_pair()))).await.is_err()
        );
        // One configuration for both, so that it remembers the sessions of the open site.
        let nobody = client(&roots[0], None);
        assert_eq!(connect(place.web.tls, "open.localhost", nobody.clone()).await.as_deref(), Ok("hello"));
        assert!(connect(place.web.tls, "secret.localhost", nobody).await.is_err());
    }
    // Another authority: what the client could do before helps it no more.
    let (other, _) = client_identity("other");
    let mut changed = requests;
    changed[1].client_ca = Some(PemPair { chain: pem("clients.pem", other), key: None });
    manager.update(Issuance::default(), changed.clone());
    assert!(connect(place.web.tls, "secret.localhost", config.clone()).await.is_err());
    // One that cannot be read lets nobody in.
    changed[1].client_ca = Some(PemPair { chain: pem("clients.pem", "nonsense".into()), key: None });
    manager.update(Issuance::default(), changed);
    assert!(connect(place.web.tls, "secret.localhost", config).await.is_err());
    assert_eq!(place.take_ids(), ["client-ca-unusable"]);
}

#[tokio::test]
async fn without_a_name_only_where_it_is_wanted() {
    let place = Place::new().await;
    let _manager = place.manager(vec![request(&["app.localhost"])]);
    let root = doorstep_certs::roots(place.dir.path()).remove(0);
    assert!(connect(place.web.tls, "127.0.0.1", client(&root, None)).await.is_err());
    let unnamed = CertRequest { unnamed: true, ..request(&["app.localhost"]) };
    let _manager = place.manager(vec![unnamed]);
    assert!(handshake(place.web.tls, "127.0.0.1").await.is_ok());
    assert!(handshake(place.web.tls, "never-heard-of.example.com").await.is_ok());
    // A site for all that nobody else answers to, with a certificate of its own.
    let all = CertRequest { names: Vec::new(), unnamed: true, ..from_files(&files("a.example.com", 300), "x") };
    let manager = place.manager(vec![all]);
    for name in ["127.0.0.1", "a.example.com", "never-heard-of.example.com"] {
        assert!(handshake(place.web.tls, name).await.is_ok(), "{name}");
    }
    assert_eq!(status(&manager, "a.example.com").source, SourceKind::Files);
}

/// Key agreement that also holds against a quantum computer is preferred; sessions are resumed, except where clients show a
/// certificate.
#[tokio::test]
async fn what_is_negotiated() {
    let place = Place::new().await;
    let (authority, good) = client_identity("authority");
    let mut secret = request(&["secret.localhost"]);
    secret.client_ca = Some(PemPair { chain: pem("clients.pem", authority), key: None });
    let _manager = place.manager(vec![request(&["open.localhost"]), secret]);
    let roots = doorstep_certs::roots(place.dir.path());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        for (name, identity, resumes) in
            [("open.localhost", None, true), ("secret.localhost", Some(good.clone_pair()), false)]
        {
            let config = client_of(&roots[0], identity, &[version]);
            let kinds = [session(&place, name, config.clone()).await, session(&place, name, config).await];
            assert_eq!(kinds[0].0, HandshakeKind::Full);
            assert_eq!(kinds[1].0 == HandshakeKind::Resumed, resumes, "{name} {version:?}");
            let hybrid = version.version == rustls::ProtocolVersion::TLSv1_3;
            assert_eq!(kinds[0].1 == NamedGroup::X25519MLKEM768, hybrid);
            assert_eq!(kinds[0].2, b"h2");
        }
    }
}

/// Whether the session was resumed, the key agreement, and the protocol.
async fn session(place: &Place, name: &str, config: Arc<ClientConfig>) -> (HandshakeKind, NamedGroup, Vec<u8>) {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], place.web.tls))).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    let (_, session) = stream.get_ref();
    let group = session.negotiated_key_exchange_group().map_or(NamedGroup::X25519, |group| group.name());
    (session.handshake_kind().unwrap(), group, session.alpn_protocol().unwrap_or_default().to_vec())
}

struct Identity {
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn clone_pair(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// An authority as PEM, and a client's certificate from it.
fn client_identity(name: &str) -> (String, Identity) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name.push(rcgen::DnType::CommonName, name);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let text = root.self_signed(&root_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["somebody".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let chain = leaf.signed_by(&key, &rcgen::Issuer::new(root, root_key)).unwrap().der().clone();
    (text, Identity { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
}

fn client(root: &Path, identity: Option<Identity>) -> Arc<ClientConfig> {
    client_of(root, identity, rustls::DEFAULT_VERSIONS)
}

fn client_of(
    root: &Path,
    identity: Option<Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(vec![identity.chain], identity.key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What the server says after the handshake.
async fn connect(port: u16, name: &str, config: Arc<ClientConfig>) -> Result<String, String> {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.map_err(text)?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.map_err(text)?;
    Ok(said)
}
