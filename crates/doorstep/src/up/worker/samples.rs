//! What Prometheus gets beside the numbers of requests: certificates, upstreams, apps, and the life of the daemon.

use std::sync::Arc;

use doorstep_telemetry::{Sample, SampleKind};
use parking_lot::Mutex;

use crate::control::protocol::{Certificate, Upstream, UpstreamState};
use crate::up::link::Numbers;

/// The samples of late; made anew every few seconds, by whoever may take their time for it.
#[derive(Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<Sample>>>);

impl Samples {
    /// For [`doorstep_telemetry::Telemetry::add_samples`].
    pub fn get(&self) -> Vec<Sample> {
        self.0.lock().clone()
    }

    pub fn set(&self, numbers: &Numbers, connections: usize, upstreams: &[Upstream], certificates: &[Certificate]) {
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
        *self.0.lock() = samples;
    }
}

fn gauge(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Gauge, labels, value }
}

fn counter(name: &'static str, help: &'static str, labels: Vec<(&'static str, String)>, value: f64) -> Sample {
    Sample { name, help, kind: SampleKind::Counter, labels, value }
}
