//! Stock PageKite back-ends at the relay.

use std::sync::Arc;

use doorstep_certs::CertTable;
use doorstep_model::{Hostname, PageKiteSpec, RelaySpec};
use doorstep_net::Handler;
use doorstep_pagekite::KiteSecret;
use doorstep_pagekite::server::{KiteNames, RegistryLending, Server, ServerOptions};
use doorstep_tunnel::registry::Registry;

use super::agent_limits;

/// The front-end that they come to.
pub struct Kites {
    server: Server,
    lending: Arc<RegistryLending>,
}

impl Kites {
    /// `ports` are those of visitors.
    pub fn new(spec: &RelaySpec, registry: Registry, certificates: CertTable, ports: Vec<u16>) -> Self {
        let domain = spec.domain.clone();
        let lending = Arc::new(RegistryLending::new(registry, agent_limits(&spec.limits)));
        let options = ServerOptions {
            names: names(&spec.domain, spec.pagekite.as_ref()),
            tls: Arc::new(move |host| certificates.settings_for(host).filter(|_| host == domain.as_str())),
            https: true,
            end_to_end: true,
            ports,
            message: None,
        };
        Self { server: Server::new(options, lending.clone()), lending }
    }

    pub fn configure(&self, spec: &RelaySpec) {
        self.lending.set_limits(agent_limits(&spec.limits));
        self.server.set_names(names(&spec.domain, spec.pagekite.as_ref()));
    }

    /// For the port of back-ends, and for those of visitors in the clear: they reach raw kites there.
    pub fn in_front_of(&self, engine: Arc<dyn Handler>) -> Arc<dyn Handler> {
        self.server.in_front_of(engine)
    }
}

fn names(domain: &Hostname, spec: Option<&PageKiteSpec>) -> KiteNames {
    let mut names = KiteNames::default();
    for (pattern, secret) in spec.iter().flat_map(|spec| &spec.kites) {
        let name = pattern.to_string();
        // The relay's own name is nobody's kite.
        if name != domain.as_str() {
            // The configuration has host names only, so that nothing is left out.
            let _ = names.add(&name, KiteSecret::new(secret.reveal()));
        }
    }
    names
}
