//! `doorstep status`: what the supervisor knows itself, and what the worker says.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use doorstep_model::{HostPattern, HostPolicy, Listener, TlsPolicy, UpstreamAddr};
use doorstep_supervise as supervise;
use serde::{Deserialize, Serialize};

use super::{Phase, Supervisor, greeting};
use crate::control::protocol::{
    App, Certificate, Found, Instance, InstanceState, Job, Listener as Listening, Site, Status, Traffic, Upstream,
    Worker,
};
use crate::control::public_status::{MappingStatus, NameStatus};
use crate::control::relay_status::Relay;
use crate::control::tunnel_status::TunnelStatus;
use crate::up::link::Question;
use crate::up::worker::RELAY_NO_AGENTS;

/// What a worker says of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    pub confined: bool,
    pub traffic: Traffic,
    /// By the site's name.
    pub sites: HashMap<String, Traffic>,
    pub upstreams: Vec<Upstream>,
    pub relay: Option<Relay>,
    pub tunnels: Vec<TunnelStatus>,
    pub ports: Vec<MappingStatus>,
    pub names: Vec<NameStatus>,
    pub certificates: Vec<Certificate>,
}

/// Processor time of instances when somebody last asked, to say how busy they are of late.
#[derive(Default)]
pub struct CpuMarks(HashMap<(String, String), (Instant, Duration)>);

impl Supervisor {
    pub(super) async fn status(&mut self) -> Status {
        let answer = self.answer_of(Question::Status).await;
        let worker: WorkerStatus = answer.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let (apps, jobs) = (self.apps.status().await, self.apps.jobs().await);
        let dirs = &self.options.dirs;
        // True when it began, and no longer.
        let has_agents = worker.relay.as_ref().is_some_and(|relay| !relay.agents.is_empty());
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            config: self.options.config.shown(),
            state: dirs.state.clone(),
            started_at: seconds(self.began),
            uptime_seconds: SystemTime::now().duration_since(self.began).unwrap_or_default().as_secs(),
            generation: self.generation,
            reloads: self.counts.reloads,
            upgrades: self.counts.upgrades,
            worker: self.worker(worker.confined),
            listeners: self.listening(),
            traffic: worker.traffic.clone(),
            sites: self.spec.sites.iter().map(|site| self.site(site, &worker)).collect(),
            apps: Vec::new(),
            jobs: jobs.into_iter().map(job).collect(),
            upstreams: worker.upstreams,
            relay: worker.relay,
            tunnels: worker.tunnels,
            ports: worker.ports,
            names: worker.names,
            certificates: worker.certificates,
            findings: self
                .findings
                .iter()
                .filter(|(_, found)| !(has_agents && found.id == RELAY_NO_AGENTS))
                .map(|(at, found)| Found { seen_at: seconds(*at), ..found.clone() })
                .collect(),
        };
        status.apps = apps.into_iter().map(|app| self.app(app)).collect();
        status
    }

    fn worker(&self, confined: bool) -> Worker {
        Worker {
            pid: self.serving().map_or(0, |worker| worker.pid.as_raw_nonzero().get().unsigned_abs()),
            restarts: self.counts.worker_restarts,
            draining: self.workers.iter().filter(|worker| worker.phase == Phase::Draining).count() as u64,
            confined,
        }
    }

    fn listening(&self) -> Vec<Listening> {
        let tls = |asked| {
            let mut of = self.spec.listeners.iter().filter(|listener: &&Listener| listener.address == asked);
            of.any(|listener| listener.tls != TlsPolicy::Plain)
        };
        let each =
            |(asked, bound): (_, std::net::SocketAddr)| Listening { address: bound.to_string(), tls: tls(asked) };
        self.sockets.addresses().into_iter().map(each).collect()
    }

    fn site(&self, site: &doorstep_model::Site, worker: &WorkerStatus) -> Site {
        let names = match &site.hosts {
            HostPolicy::Names(names) => names.iter().map(HostPattern::to_string).collect(),
            _ => Vec::new(),
        };
        let aliases = names.into_iter().chain(site.redirect_from.iter().map(HostPattern::to_string));
        let certificate = worker.certificates.iter().find(|one| one.sites.contains(&site.name));
        Site {
            name: site.name.clone(),
            aliases: aliases.filter(|name| *name != site.name).collect(),
            serves: greeting::content(site),
            certificate: certificate.map(|one| one.name.clone()),
            traffic: worker.sites.get(&site.name).cloned().unwrap_or_default(),
        }
    }

    fn app(&mut self, app: supervise::AppStatus) -> App {
        let name = app.name.0.clone();
        App {
            wanted: app.wanted,
            instances: app.instances.into_iter().map(|one| self.instance(&name, one)).collect(),
            restarts: app.restarts,
            crash_loop: app.crash_loop,
            note: app.note,
            last_failure: app.last_failure,
            name,
        }
    }

    fn instance(&mut self, app: &str, one: supervise::InstanceStatus) -> Instance {
        let percent = self.cpu.percent(app, &one.id, one.cpu);
        Instance {
            state: match one.state {
                supervise::InstanceState::Starting => InstanceState::Starting,
                supervise::InstanceState::Ready => InstanceState::Ready,
                supervise::InstanceState::Draining => InstanceState::Draining,
                supervise::InstanceState::Stopping => InstanceState::Stopping,
            },
            pid: one.pid,
            address: match &one.addr {
                UpstreamAddr::Tcp { host, port } => format!("{host}:{port}"),
                UpstreamAddr::Unix(path) => format!("unix:{}", path.display()),
            },
            uptime_seconds: one.uptime.as_secs(),
            memory_bytes: one.memory,
            cpu_seconds: one.cpu.as_secs_f64(),
            cpu_percent: percent,
            id: one.id,
        }
    }
}

impl CpuMarks {
    /// Hundredths of a core since the question before; `None` for the first one.
    fn percent(&mut self, app: &str, instance: &str, used: Duration) -> Option<f64> {
        let now = Instant::now();
        let before = self.0.insert((app.to_owned(), instance.to_owned()), (now, used))?;
        self.0.retain(|_, (asked, _)| now.duration_since(*asked) < Duration::from_secs(3600));
        let passed = now.duration_since(before.0).as_secs_f64();
        (passed > 0.0).then(|| used.saturating_sub(before.1).as_secs_f64() / passed * 100.0)
    }
}

fn job(job: supervise::JobStatus) -> Job {
    Job {
        name: job.name.0,
        running: job.running,
        next_at: job.next,
        last_started_at: job.last_start,
        last_result: job.last_result,
        skipped: job.skipped,
    }
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
