//! Which certificates the sites need.

use doorstep_certs::{CertName, CertRequest};
use doorstep_model::{CertificateSource, HostPolicy, Lent, Site, Spec};

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
            source: source(spec, site),
            client_ca: site.client_ca.clone(),
            unnamed: matches!(site.hosts, HostPolicy::Any),
        }
    };
    spec.sites.iter().filter(|site| site.certificate != CertificateSource::None).map(request).collect()
}

/// A site that a relay lends under its own name leads to the relay, which has the certificate: no authority would give us one
/// for visitors of this network.
fn source(spec: &Spec, site: &Site) -> CertificateSource {
    let lent = spec.tunnel.iter().flat_map(|tunnel| &tunnel.lent);
    let mut own = lent.filter_map(|lent| match lent {
        Lent::Web(web) if web.site == site.name && web.name == site.name => Some(web),
        _ => None,
    });
    match own.next() {
        Some(web) if !web.end_to_end && site.certificate == CertificateSource::Auto => CertificateSource::Local,
        _ => site.certificate.clone(),
    }
}
