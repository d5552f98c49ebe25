//! Certificates of a relay: for its own name, and for names that agents have.
//!
//! Never in the way of a request, and only for names that an agent who was let in has claimed: an order that anybody could
//! cause would let anybody use up what the authority gives this domain.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_certs::{CertName, CertRequest};
use doorstep_model::{CertificateSource, ChallengeKind, HostPattern, Hostname, Issuance, RelaySpec};
use doorstep_tunnel::registry::Registry;

use crate::limits::{RELAY_CERTIFICATES, RELAY_NEW_CERTIFICATES, RELAY_NEW_CERTIFICATES_WITHIN};

/// What the relay's certificates are called in findings and lists.
const SITE: &str = "relay";

/// Which names have one, and which may have one.
pub struct Certificates {
    /// Where the manager keeps them.
    kept: PathBuf,
    /// Names that agents may have one for.
    names: BTreeSet<Hostname>,
    /// By agent, when names of it that had none were allowed one.
    allowed: HashMap<Arc<str>, VecDeque<Instant>>,
}

impl Certificates {
    pub fn new(tls: &Path) -> Self {
        Self { kept: tls.join("certs"), names: BTreeSet::new(), allowed: HashMap::new() }
    }

    /// Follows the registry. Says whether anything is different, and how long until a name that has to wait may have one.
    pub fn follow(&mut self, registry: &Registry, spec: &RelaySpec, issuance: &Issuance) -> (bool, Option<Duration>) {
        let now = Instant::now();
        let within = RELAY_NEW_CERTIFICATES_WITHIN;
        self.allowed.retain(|_, times| {
            while times.front().is_some_and(|at| now.duration_since(*at) >= within) {
                times.pop_front();
            }
            !times.is_empty()
        });
        let mut wait = None;
        let mut wanted = BTreeSet::new();
        for report in registry.names() {
            let Ok(name) = report.name.parse::<Hostname>() else { continue };
            // Ports are among them, as `tcp/20000`, which is no host name.
            if report.tls || covered(&name, spec, issuance) || wanted.len() >= RELAY_CERTIFICATES {
                continue;
            }
            if self.names.contains(&name) || self.is_kept(&name) {
                wanted.insert(name);
            } else if report.lent && !report.stopped {
                let times = self.allowed.entry(report.agent).or_default();
                if times.len() < RELAY_NEW_CERTIFICATES {
                    times.push_back(now);
                    wanted.insert(name);
                } else if let Some(first) = times.front() {
                    let until = within.saturating_sub(now.duration_since(*first));
                    wait = Some(wait.map_or(until, |wait: Duration| wait.min(until)));
                }
            }
        }
        let differs = self.names != wanted;
        self.names = wanted;
        (differs, wait)
    }

    /// What is to be asked of the manager.
    pub fn requests(&self, spec: &RelaySpec, issuance: &Issuance) -> Vec<CertRequest> {
        let own = HostPattern::Exact(spec.domain.clone());
        let all = HostPattern::Wildcard(spec.domain.clone());
        let mut names = vec![CertName::from(&own)];
        if covers_all(spec, issuance) {
            names.push(CertName::from(&all));
        }
        let request =
            |names, source| CertRequest { site: SITE.to_owned(), names, source, client_ca: None, unnamed: false };
        let mut requests = vec![request(names, spec.certificate.clone())];
        let lent: Vec<CertName> =
            self.names.iter().map(|name| CertName::from(&HostPattern::Exact(name.clone()))).collect();
        if !lent.is_empty() {
            // Files are for the relay's domain; what is not beneath it needs one of its own.
            let source = match &spec.certificate {
                CertificateSource::Files(_) => CertificateSource::Auto,
                other => other.clone(),
            };
            requests.push(request(lent, source));
        }
        requests
    }

    fn is_kept(&self, name: &Hostname) -> bool {
        self.kept.join(name.as_str()).join("chain.pem").exists()
    }
}

/// Whether `name` needs no certificate of its own.
fn covered(name: &Hostname, spec: &RelaySpec, issuance: &Issuance) -> bool {
    let one_below = || {
        let label = name.as_str().strip_suffix(spec.domain.as_str())?.strip_suffix('.')?;
        (!label.is_empty() && !label.contains('.')).then_some(())
    };
    name == &spec.domain || (covers_all(spec, issuance) && one_below().is_some())
}

/// Whether one certificate is for all names beneath the domain.
fn covers_all(spec: &RelaySpec, issuance: &Issuance) -> bool {
    // `*.localhost`, as all wildcards right below the root, is refused by clients.
    if !spec.domain.as_str().contains('.') {
        return false;
    }
    match &spec.certificate {
        CertificateSource::Files(_) | CertificateSource::Local => true,
        CertificateSource::None => false,
        CertificateSource::Auto => {
            let by_dns = issuance.challenges.is_empty() || issuance.challenges.contains(&ChallengeKind::Dns01);
            (issuance.dns.is_some() && by_dns) || CertName::from(&HostPattern::Wildcard(spec.domain.clone())).is_local()
        }
    }
}
