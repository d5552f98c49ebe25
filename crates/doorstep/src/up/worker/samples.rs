//! What Prometheus gets beside the numbers of requests: certificates, upstreams, apps, and the life of the daemon.

use std::sync::Arc;

use doorstep_telemetry::{Sample, SampleKind};
use parking_lot::Mutex;

use crate::control::protocol::{Certificate, Upstream, UpstreamState};
use crate::control::relay_status::{Relay, RelayAgent};
use crate::up::link::Numbers;

/// The samples of late; made anew every few seconds, by whoever may take their time for it.
#[derive(Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<Sample>>>);

impl Samples {
    /// For [`doorstep_telemetry::Telemetry::add_samples`].
    pub fn get(&self) -> Vec<Sample> {
        self.0.lock().clone()
    }

    pub fn set(
        &self,
        numbers: &Numbers,
        connections: usize,
        (upstreams, certificates, relay): (&[Upstream], &[Certificate], Option<&Relay>),
    ) {
        let mut samples = vec![
            gauge("open_connections", "Connections from clients", Vec::new(), connections as f64),
            counter("reloads", "Configurations put in force since the start", Vec::new(), numbers.reloads as f64),
            counter("upgrades", "Times that a new program took over", Vec::new(), numbers.upgrades as f64),
            counter("worker_restarts", "Workers that crashed", Vec::new(), numbers.worker_restarts as f64),
        ];
        for app in &numbers.apps {
            let label = || vec![("app", app.name.clone())];
            samples.push(gauge("app_instances_ready", "Instances that take requests", label(), f64::from(app.ready)));
        }
        for app in &numbers.apps {
            let label = vec![("app", app.name.clone())];
            samples.push(counter("app_restarts", "Starts after a crash", label, app.restarts as f64));
        }
        for upstream in upstreams {
            let label = vec![("pool", upstream.site.clone()), ("upstream", upstream.address.clone())];
            let is_up = matches!(upstream.state, UpstreamState::Ready | UpstreamState::Warming);
            samples.push(gauge("upstream_up", "Whether an upstream gets requests", label, f64::from(u8::from(is_up))));
        }
        for certificate in certificates {
            if let Some(not_after) = certificate.not_after {
                let label = vec![("name", certificate.name.clone())];
                let help = "When a certificate expires, in seconds since 1970";
                samples.push(gauge("certificate_not_after_seconds", help, label, not_after as f64));
            }
        }
        samples.extend(relay.into_iter().flat_map(of_relay));
        *self.0.lock() = samples;
    }
}

/// Together, and for each agent: of those there are as many as somebody invited.
fn of_relay(relay: &Relay) -> Vec<Sample> {
    let here = relay.agents.iter().filter(|agent| agent.sessions > 0).count();
    let mut samples = vec![
        gauge("relay_agents_online", "Agents that are connected", Vec::new(), here as f64),
        gauge("relay_requests_waiting", "Requests that wait for an agent", Vec::new(), relay.waiting as f64),
    ];
    let mut each = |name, help, counts: bool, value: fn(&RelayAgent) -> u64| {
        for agent in &relay.agents {
            let label = vec![("agent", agent.name.clone())];
            let make = if counts { counter } else { gauge };
            samples.push(make(name, help, label, value(agent) as f64));
        }
    };
    each("relay_streams_open", "Connections of visitors to an agent", false, |agent| agent.streams);
    each("relay_requests", "Requests for an agent", true, |agent| agent.requests);
    each("relay_refused", "Requests and connections beyond an agent's limits", true, |agent| agent.refused);
    each("relay_received_bytes", "Bytes from visitors to an agent", true, |agent| agent.bytes_in);
    each("relay_sent_bytes", "Bytes from an agent to visitors", true, |agent| agent.bytes_out);
    samples
}

fn gauge(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Gauge, labels, value }
}

fn counter(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Counter, labels, value }
}
