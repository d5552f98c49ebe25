//! What a worker says of itself when it is asked.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use doorstep_certs::{CertName, CertState, CertStatus, SourceKind};
use doorstep_proxy::{MemberState, MemberStatus};
use serde_json::{Value, json};

use super::metrics;
use super::serving::Serving;
use crate::control::protocol::{
    Certificate, CertificateError, CertificateSource, CertificateState, Upstream, UpstreamState,
};
use crate::relay::orders::obey;
use crate::up::link::{FromWorker, Question};
use crate::up::supervisor::status::WorkerStatus;

impl Serving {
    pub(super) fn answer(&mut self, id: u64, question: Question) {
        let value = match question {
            Question::Status => json!(self.status()),
            Question::Certificates => json!(self.certificates()),
            Question::RenewCertificate(name) => self.renew(&name),
            Question::Relay(order) => {
                // What it promises is written to the disk first.
                let (registry, says) = (self.relay.as_ref().map(|relay| relay.registry.clone()), self.says.clone());
                tokio::spawn(async move {
                    let value = json!(obey(registry, order).await);
                    let _ = says.send(FromWorker::Answer { id, value });
                });
                return;
            }
        };
        let _ = self.says.send(FromWorker::Answer { id, value });
    }

    fn renew(&self, name: &str) -> Value {
        let asked = match name.parse::<CertName>() {
            Ok(name) => self.manager.renew(&name).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok(()) => json!({ "ok": true }),
            Err(problem) => json!({ "ok": false, "problem": problem }),
        }
    }

    fn status(&self) -> WorkerStatus {
        let mut upstreams = Vec::new();
        for (name, pool) in self.builder.fixed_pools() {
            upstreams.extend(pool.status().into_iter().map(|member| upstream(name, member)));
        }
        let snapshot = self.telemetry.snapshot();
        let certificates = self.certificates();
        let relay = self.relay.as_ref().map(|relay| relay.status());
        self.samples.set(&self.numbers, self.plane.open_connections(), (&upstreams, &certificates, relay.as_ref()));
        WorkerStatus {
            confined: self.spec.daemon.sandbox,
            traffic: metrics::total(&snapshot, self.plane.open_connections()),
            sites: metrics::sites(&snapshot),
            upstreams,
            relay,
            tunnels: self.tunnels.status(),
            ports: self.public.ports(),
            names: self.public.names(),
            certificates,
        }
    }

    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.manager.status().into_iter().map(certificate).collect()
    }
}

fn upstream(pool: &str, member: MemberStatus) -> Upstream {
    Upstream {
        site: pool.to_owned(),
        address: member.address,
        state: match member.state {
            MemberState::Ready => UpstreamState::Ready,
            MemberState::Warming => UpstreamState::Warming,
            MemberState::Unwell => UpstreamState::Unwell,
            MemberState::Resting => UpstreamState::Resting,
            MemberState::Absent => UpstreamState::Unreachable,
            MemberState::Draining => UpstreamState::Draining,
        },
        in_flight: member.in_flight as u64,
        backup: member.backup,
        last_error: member.last_error.unwrap_or_default(),
    }
}

fn certificate(status: CertStatus) -> Certificate {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    let mut shown = Certificate {
        name: status.name.to_string(),
        sites: status.sites,
        source: match status.source {
            SourceKind::Acme => CertificateSource::Acme,
            SourceKind::Local => CertificateSource::Local,
            SourceKind::Files => CertificateSource::Files,
        },
        state: match status.state {
            CertState::Pending => CertificateState::Pending,
            CertState::Valid => CertificateState::Valid,
            CertState::Expiring => CertificateState::Expiring,
            CertState::Expired => CertificateState::Expired,
        },
        next_at: status.next_at,
        error: status.error.map(|error| CertificateError {
            what: error.what,
            fix: error.fix,
            at: error.at,
            times: error.failures,
        }),
        ..Certificate::default()
    };
    if let Some(facts) = status.certificate {
        shown.names = facts.names;
        shown.issuer = facts.issuer;
        shown.not_before = Some(facts.not_before);
        shown.not_after = Some(facts.not_after);
        shown.days_left = Some((facts.not_after - now).div_euclid(24 * 60 * 60));
        shown.serial = facts.serial;
        shown.fingerprint = facts.fingerprint;
        shown.path = PathBuf::from(facts.path);
    }
    shown
}
