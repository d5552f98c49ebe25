//! A relay inside a worker: who comes in by TLS, what visitors get, certificates of names that are lent.
//!
//! Everything that lasts is in the registry, everything that moves in the carriers (`doorstep-tunnel`, `doorstep-ssh`,
//! `doorstep-pagekite`). Here they meet the engine.

pub mod admin;
mod certificates;
pub mod command;
mod followers;
mod front;
mod hold;
mod kites;
mod lanes;
pub mod orders;
mod pages;
mod reachable;
mod refusals;
mod settings;
mod ssh;
#[cfg(test)]
mod tests;
mod tls;
mod visitors;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use doorstep_certs::{CertRequest, CertTable};
use doorstep_http::{DynamicHosts, Observer, Service};
use doorstep_model::{HostPattern, HostPolicy, Issuance, RelayLimits, RelaySpec, Site};
use doorstep_net::{Drain, DrainControl, Handler, Patience, TlsSelect};
use doorstep_tunnel::registry::{AgentLimits, AgentReport, Registry, RegistryOptions, RegistrySettings};
use doorstep_tunnel::relay::{Relay, RelayOptions};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;

use self::certificates::Certificates;
use self::followers::Followers;
use self::front::Front;
use self::kites::Kites;
use self::refusals::Refusals;
use self::settings::Settings;
use self::ssh::Gateways;
use self::tls::{Agents, Select};
use self::visitors::Visitors;
use crate::control::relay_status as status;

pub use self::reachable::{FIRST as LOOK_FIRST, look};
pub use self::ssh::VisitorPorts;

/// A relay that runs.
pub struct Relaying {
    pub registry: Registry,
    pub relay: Relay,
    settings: Arc<ArcSwap<Settings>>,
    visitors: Arc<Visitors>,
    table: CertTable,
    certificates: Mutex<Certificates>,
    kites: Option<Kites>,
    ssh: Gateways,
    followers: Arc<Followers>,
    refusals: Refusals,
    /// Of agents that came by an upgrade, whose connection the engine has given away.
    drain: (DrainControl, Drain),
}

/// What a relay is opened with.
pub struct Opening<'o> {
    pub spec: &'o RelaySpec,
    /// Its memory.
    pub dir: &'o Path,
    /// Where certificates are kept.
    pub tls: &'o Path,
    pub table: &'o CertTable,
    pub ports: VisitorPorts,
    pub observer: Arc<dyn Observer>,
}

impl Relaying {
    /// Opens the memory. It is not written before [`Self::lead`].
    ///
    /// # Errors
    /// A memory that cannot be used.
    pub fn open(opening: Opening<'_>) -> anyhow::Result<Self> {
        let Opening { spec, dir, tls, table, ports, observer } = opening;
        let options = RegistryOptions {
            address: format!("{}:{}", spec.domain, ports.https.unwrap_or(443)),
            https: ports.https.filter(|port| *port != 443).unwrap_or(0),
            ports: spec.ports.clone(),
            standby: true,
            ..RegistryOptions::new(spec.domain.as_str())
        };
        let registry = Registry::open(dir, options).context("the relay's memory")?;
        let relay = Relay::new(registry.clone(), RelayOptions::default());
        relay.allow_probes(spec.probe);
        let settings = Arc::new(ArcSwap::from_pointee(Settings::from(spec)));
        let drain = DrainControl::new();
        let own = Arc::new(Front {
            relay: relay.clone(),
            domain: spec.domain.clone(),
            settings: settings.clone(),
            site: None,
            drain: drain.1.clone(),
        });
        let visitors = Arc::new(Visitors::new(registry.clone(), table.clone(), settings.clone(), own));
        let certificates = Mutex::new(Certificates::new(tls));
        let followers = Arc::new(Followers::new(observer, relay.clone()));
        let ssh = Gateways::open(spec, dir, &registry, followers.clone(), ports)?;
        let table = table.clone();
        let mut own = Self {
            registry,
            relay,
            settings,
            visitors,
            table,
            certificates,
            kites: None,
            ssh,
            followers,
            refusals: Refusals::default(),
            drain,
        };
        if spec.pagekite.is_some() {
            let ports = [ports.http, ports.https].into_iter().flatten().collect();
            own.kites = Some(Kites::new(spec, own.registry.clone(), own.table.clone(), ports));
        }
        Ok(own)
    }

    /// Who hears of requests.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.followers.clone()
    }

    /// Who takes connections to `address`, a listener in the clear, where that is not `engine` alone.
    pub fn handler(&self, address: &SocketAddr, engine: Arc<dyn Handler>) -> Arc<dyn Handler> {
        self.ssh.handler(address).unwrap_or_else(|| self.with_kites(engine))
    }

    /// Takes over what may change while it runs. Names of `sites` are not lent.
    pub fn configure(&self, spec: &RelaySpec, sites: &[Site]) {
        self.settings.store(Arc::new(Settings::from(spec)));
        self.relay.allow_probes(spec.probe);
        if let Some(kites) = &self.kites {
            kites.configure(spec);
        }
        let names = sites.iter().flat_map(|site| {
            let own: &[HostPattern] = if let HostPolicy::Names(names) = &site.hosts { names } else { &[] };
            own.iter().chain(&site.redirect_from)
        });
        let exact = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => Some(name.to_string()),
            HostPattern::Wildcard(_) => None,
        };
        self.registry
            .set(RegistrySettings { limits: agent_limits(&spec.limits), reserved: names.filter_map(exact).collect() });
    }

    /// Those of PageKite's back-ends among them.
    fn with_kites(&self, engine: Arc<dyn Handler>) -> Arc<dyn Handler> {
        self.kites.as_ref().map_or(engine.clone(), |kites| kites.in_front_of(engine))
    }

    /// For the route table.
    pub fn hosts(&self) -> Arc<dyn DynamicHosts> {
        self.visitors.clone()
    }

    /// For a site that has the relay's own name: agents get past it.
    pub fn in_front_of(&self, site: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Front {
            relay: self.relay.clone(),
            domain: self.registry.domain().clone(),
            settings: self.settings.clone(),
            site: Some(site),
            drain: self.drain.1.clone(),
        })
    }

    /// For listeners with TLS.
    pub fn select(&self) -> Arc<dyn TlsSelect> {
        Arc::new(Select {
            certificates: self.table.clone(),
            waiting: self.visitors.waiting().clone(),
            settings: self.settings.clone(),
            agents: Arc::new(Agents(self.relay.clone())),
        })
    }

    /// Looks at who has which name: whether other certificates are needed now, and when to look again at the latest.
    pub fn look_at_names(&self, spec: &RelaySpec, issuance: &Issuance) -> (bool, Option<Duration>) {
        self.certificates.lock().follow(&self.registry, spec, issuance)
    }

    /// Certificates that it needs.
    pub fn requests(&self, spec: &RelaySpec, issuance: &Issuance) -> Vec<CertRequest> {
        self.certificates.lock().requests(spec, issuance)
    }

    /// This worker is the one that writes the memory from now on.
    pub fn lead(&self) {
        self.registry.lead();
    }

    /// Another worker goes on: agents are asked to go there, and streams under way end here.
    pub fn retire(&self) {
        self.registry.retire();
        self.relay.go_away();
        self.drain.0.start(Patience::Gentle);
    }
}

impl Relaying {
    /// Notes who is refused, for ever, and says what belongs into the log.
    pub async fn watch(&self, mut say: impl FnMut(String)) {
        let mut events = self.relay.events();
        loop {
            match events.recv().await {
                Ok(event) => self.refusals.note(&event).into_iter().for_each(&mut say),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// For `doorstep status` and the metrics.
    pub fn status(&self) -> status::Relay {
        let ports = self.registry.ports();
        let (refused, refusals) = self.refusals.shown();
        status::Relay {
            domain: self.registry.domain().to_string(),
            ports: (!ports.is_empty()).then(|| (*ports.start(), *ports.end())),
            waiting: self.visitors.waiting().count() as u64,
            refused,
            refusals,
            agents: self.registry.agents().into_iter().map(agent).collect(),
        }
    }
}

fn agent(report: AgentReport) -> status::RelayAgent {
    let latest = report.sessions.iter().max_by_key(|session| session.since);
    status::RelayAgent {
        sessions: report.sessions.len() as u64,
        revoked: report.revoked,
        from: latest.map(|session| session.from.to_string()).unwrap_or_default(),
        round_trip_ms: latest.and_then(|session| session.round_trip).map(|trip| trip.as_secs_f64() * 1000.0),
        streams: report.usage.streams as u64,
        requests: report.usage.requests,
        refused: report.usage.refused,
        bytes_in: report.usage.bytes_in,
        bytes_out: report.usage.bytes_out,
        names: report.names,
        ports: report.ports,
        name: report.name.to_string(),
    }
}

fn agent_limits(limits: &RelayLimits) -> AgentLimits {
    AgentLimits {
        most_names: limits.names,
        ports: limits.ports,
        streams: limits.streams,
        rate: limits.bandwidth,
        requests: limits.requests,
        ..AgentLimits::default()
    }
}
