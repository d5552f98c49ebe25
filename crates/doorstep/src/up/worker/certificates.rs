//! Which certificates the sites need.

use doorstep_certs::{CertName, CertRequest};
use doorstep_model::{CertificateSource, HostPolicy, Spec};

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
