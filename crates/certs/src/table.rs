use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use doorstep_model::{Blame, Finding, HostPattern, PemPair, Severity};
use doorstep_net::{TlsChoice, TlsSelect};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use crate::{CertName, CertRequest, CertsError, tls};

/// Which certificate and which TLS settings a connection gets, by the name that its client asks for: that very name, else
/// the wildcard one label above. Clients that name nobody, or nobody that is known, are refused unless a request is
/// `unnamed`.
///
/// Cheap to clone; clones are the same table. All sites share one `ServerConfig`, only those with `client_ca` have their own.
#[derive(Clone)]
pub struct CertTable {
    names: Arc<Names>,
    shared: Arc<ServerConfig>,
    challenges: Arc<RwLock<HashMap<String, Arc<ServerConfig>>>>,
}

/// A challenge certificate that is shown until this is dropped.
pub(crate) struct ShownChallenge {
    challenges: Arc<RwLock<HashMap<String, Arc<ServerConfig>>>>,
    name: String,
    pub(crate) certificate: CertificateDer<'static>,
}

#[derive(Default)]
struct Names {
    all: ArcSwap<Entries>,
}

#[derive(Default)]
struct Entries {
    exact: HashMap<Box<str>, Arc<Entry>>,
    /// By the name below which the wildcard stands.
    wildcard: HashMap<Box<str>, Arc<Entry>>,
    /// For clients that name nobody.
    unnamed: Option<Arc<Entry>>,
    /// For clients that name somebody whom no site knows.
    others: Option<Arc<Entry>>,
}

#[derive(Default)]
struct Entry {
    certificate: ArcSwapOption<CertifiedKey>,
    clients: Clients,
}

/// Who gets past the handshake.
#[derive(Clone, Default)]
enum Clients {
    #[default]
    All,
    Known {
        authorities: PemPair,
        config: Arc<ServerConfig>,
    },
    /// The authorities cannot be used: rather nobody than everybody.
    Nobody,
}

impl CertTable {
    /// Empty: refuses everybody.
    ///
    /// # Errors
    /// When this computer gives no random numbers for session tickets.
    pub fn new() -> Result<Self, CertsError> {
        let names = Arc::new(Names::default());
        Ok(Self { shared: tls::shared(names.clone())?, names, challenges: Arc::default() })
    }

    /// Whether only clients with a certificate may reach `host` (lower case, no port). The engine asks for connections
    /// that came without SNI, or under another name: those must not reach such a site.
    pub fn wants_client_certificate(&self, host: &str) -> bool {
        let all = self.names.all.load();
        all.site(host).is_some_and(|entry| !matches!(entry.clients, Clients::All))
    }

    /// Whether there is a certificate to show to clients that ask for `host` (lower case, no port).
    pub fn serves(&self, host: &str) -> bool {
        self.names.certificate(Some(host)).is_some()
    }

    /// TLS with the certificate of `host` (lower case, no port), whatever name the client asks for, if any: for those who said it
    /// before TLS began. `None` while there is no such certificate, or only clients with one of their own may come.
    pub fn settings_for(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let certificate = self.names.certificate(Some(host)).filter(|_| !self.wants_client_certificate(host))?;
        let mut config = ServerConfig::clone(&self.shared);
        config.cert_resolver = Arc::new(Always(certificate));
        Some(Arc::new(config))
    }

    /// Makes room for the names of `requests`, and for no others. Certificates of names that stay are kept.
    pub(crate) fn arrange(&self, requests: &[CertRequest]) -> Vec<Finding> {
        let old = self.names.all.load_full();
        let mut new = Entries::default();
        let mut findings = Vec::new();
        for request in requests {
            let clients = self.clients(request, &old, &mut findings);
            for name in &request.names {
                let entry = Arc::new(Entry {
                    certificate: ArcSwapOption::new(old.entry(name).and_then(|entry| entry.certificate.load_full())),
                    clients: clients.clone(),
                });
                if request.unnamed {
                    new.others.get_or_insert_with(|| entry.clone());
                }
                if request.unnamed || matches!(name, CertName::Ip(_)) {
                    new.unnamed.get_or_insert_with(|| entry.clone());
                }
                match name {
                    CertName::Host(HostPattern::Exact(name)) => new.exact.insert(name.as_str().into(), entry),
                    CertName::Host(HostPattern::Wildcard(name)) => new.wildcard.insert(name.as_str().into(), entry),
                    CertName::Ip(ip) => new.exact.insert(ip.to_string().into(), entry),
                };
            }
        }
        self.names.all.store(Arc::new(new));
        findings
    }

    /// Serves `certificate` under `name` from the next handshake on.
    pub(crate) fn set(&self, name: &CertName, certificate: Arc<CertifiedKey>) {
        if let Some(entry) = self.names.all.load().entry(name) {
            entry.certificate.store(Some(certificate));
        }
    }

    /// Answers tls-alpn-01 for `name`, which may also be one that is not in the table.
    pub(crate) fn show_challenge(&self, name: &str, digest: &[u8; 32]) -> Result<ShownChallenge, CertsError> {
        let (config, certificate) = tls::challenge(name, digest)?;
        self.challenges.write().insert(name.to_owned(), config);
        Ok(ShownChallenge { challenges: self.challenges.clone(), name: name.to_owned(), certificate })
    }

    fn clients(&self, request: &CertRequest, old: &Entries, findings: &mut Vec<Finding>) -> Clients {
        let Some(wanted) = &request.client_ca else { return Clients::All };
        let same = request.names.iter().find_map(|name| match &old.entry(name)?.clients {
            Clients::Known { authorities, config } if authorities == wanted => Some(config.clone()),
            _ => None,
        });
        let made = same.map_or_else(|| tls::mutual(self.names.clone(), wanted), Ok);
        match made {
            Ok(config) => Clients::Known { authorities: wanted.clone(), config },
            Err(error) => {
                findings.push(no_authorities(&request.site, wanted, &error));
                Clients::Nobody
            }
        }
    }
}

fn no_authorities(site: &str, authorities: &PemPair, error: &CertsError) -> Finding {
    let path = authorities.chain.path.display();
    Finding {
        severity: Severity::Error,
        blame: Blame::Environment,
        id: "client-ca-unusable",
        what: format!("{site} lets nobody in: the client authorities in {path} cannot be used: {error}."),
        why: "Only clients with a certificate of theirs may come in.".into(),
        fix: format!("Put the authority's certificate as PEM into {path}."),
    }
}

impl Entries {
    fn entry(&self, name: &CertName) -> Option<&Arc<Entry>> {
        match name {
            CertName::Host(HostPattern::Exact(name)) => self.exact.get(name.as_str()),
            CertName::Host(HostPattern::Wildcard(name)) => self.wildcard.get(name.as_str()),
            CertName::Ip(ip) => self.exact.get(ip.to_string().as_str()),
        }
    }

    /// Whose site a host name is, by the engine's rule: the exact name, else the longest wildcard, over any number of labels.
    fn site(&self, host: &str) -> Option<&Arc<Entry>> {
        let above = || host.match_indices('.').find_map(|(dot, _)| self.wildcard.get(&host[dot + 1..]));
        self.exact.get(host).or_else(above).or(self.others.as_ref())
    }

    /// The certificate for a host name: its own, else that of the wildcard one label above (RFC 6125 section 6.4.3).
    fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let own = self.exact.get(host).and_then(|entry| entry.certificate.load_full());
        let above = || self.wildcard.get(host.split_once('.')?.1)?.certificate.load_full();
        own.or_else(above).or_else(|| {
            // Only for names that are nobody's: a site whose certificate is on its way has none.
            let others = self.others.as_ref()?;
            let is_theirs = self.site(host).is_some_and(|site| Arc::ptr_eq(site, others));
            if is_theirs { others.certificate.load_full() } else { None }
        })
    }
}

impl Names {
    fn certificate(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let all = self.all.load();
        match host {
            Some(host) => all.certificate(&host.to_ascii_lowercase()),
            None => all.unnamed.as_ref()?.certificate.load_full(),
        }
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(hello.server_name())
    }
}

/// One certificate, for whatever name.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl TlsSelect for CertTable {
    fn select(&self, hello: &ClientHello<'_>) -> Option<TlsChoice> {
        self.settings(hello).map(TlsChoice::from)
    }
}

impl CertTable {
    /// The settings for a connection; `None` refuses it.
    fn settings(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        // A validator offers this protocol alone (RFC 8737 section 3).
        if hello.alpn().is_some_and(|mut offered| offered.next() == Some(tls::ACME_TLS) && offered.next().is_none()) {
            return self.challenges.read().get(&host?).cloned();
        }
        self.names.certificate(host.as_deref())?;
        let all = self.names.all.load();
        let entry = match &host {
            Some(host) => all.site(host)?,
            None => all.unnamed.as_ref()?,
        };
        match &entry.clients {
            Clients::All => Some(self.shared.clone()),
            Clients::Known { config, .. } => Some(config.clone()),
            Clients::Nobody => None,
        }
    }
}

impl Drop for ShownChallenge {
    fn drop(&mut self) {
        self.challenges.write().remove(&self.name);
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
