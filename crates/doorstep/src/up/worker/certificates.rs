//! Which certificates the sites need.

use std::sync::Arc;

use doorstep_certs::{CertName, CertRequest, ManagerOptions};
use doorstep_model::{CertificateSource, Finding, HostPolicy, Spec};

use crate::up::dirs::Dirs;

/// What the manager of certificates works with.
pub fn options(spec: &Spec, dirs: &Dirs, report: impl Fn(Finding) + Send + Sync + 'static) -> ManagerOptions {
    ManagerOptions {
        report: Arc::new(report),
        ..ManagerOptions::new(dirs.tls(), spec.issuance.clone(), requests(spec))
    }
}

/// One request for each site that is served over TLS.
pub fn requests(spec: &Spec) -> Vec<CertRequest> {
    let request = |site: &doorstep_model::Site| {
        let mut names: Vec<CertName> = Vec::new();
        if let HostPolicy::Names(patterns) = &site.hosts {
            names.extend(patterns.iter().map(CertName::from));
        }
        names.extend(site.redirect_from.iter().map(CertName::from));
        CertRequest {
            site: site.name.clone(),
            names,
            source: site.certificate.clone(),
            client_ca: site.client_ca.clone(),
            unnamed: matches!(site.hosts, HostPolicy::Any),
        }
    };
    spec.sites.iter().filter(|site| site.certificate != CertificateSource::None).map(request).collect()
}
