//! A relay among the sites of a worker: certificates follow names as agents come and go, and what its owner should know is
//! said.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use doorstep_certs::{CertRequest, Manager};
use doorstep_model::{Blame, Finding, HostPolicy, Issuance, RelaySpec, Severity, Site, Spec, TlsPolicy};
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::{Says, certificates};
use crate::control::protocol::Found;
use crate::limits::RELAY_CLAIMS_TOGETHER;
use crate::relay::{LOOK_FIRST, Relaying, look};
use crate::up::link::{FromWorker, Start};

/// What certificates there have to be: those of sites, and those of the relay.
#[derive(Clone)]
pub struct Wanted(Arc<Mutex<Plan>>);

struct Plan {
    issuance: Issuance,
    sites: Vec<CertRequest>,
    relay: Option<(Arc<Relaying>, RelaySpec)>,
    /// For sites that are lent, with TLS up to here.
    lent: Vec<CertRequest>,
    wait: Option<Duration>,
}

impl Wanted {
    pub fn new(spec: &Spec, relay: Option<Arc<Relaying>>) -> Self {
        Self(Arc::new(Mutex::new(Plan {
            issuance: spec.issuance.clone(),
            sites: certificates::requests(spec),
            relay: relay.zip(spec.relay.clone()),
            lent: Vec::new(),
            wait: None,
        })))
    }

    pub fn set(&self, spec: &Spec) {
        let mut plan = self.0.lock();
        plan.issuance = spec.issuance.clone();
        plan.sites = certificates::requests(spec);
        if let (Some((_, relay)), Some(new)) = (&mut plan.relay, &spec.relay) {
            relay.clone_from(new);
        }
    }

    /// All of them.
    pub fn requests(&self) -> Vec<CertRequest> {
        let plan = self.0.lock();
        let relay = plan.relay.iter().flat_map(|(relay, spec)| relay.requests(spec, &plan.issuance));
        plan.sites.iter().cloned().chain(relay).chain(plan.lent.iter().cloned()).collect()
    }

    /// Names that this computer's own sites were granted elsewhere.
    pub fn lend(&self, lent: Vec<CertRequest>) {
        self.0.lock().lent = lent;
    }

    /// Looks at who has which name, and says whether that makes a difference.
    pub fn look(&self) -> bool {
        let plan = &mut *self.0.lock();
        let Some((relay, spec)) = &plan.relay else { return false };
        let (differs, wait) = relay.look_at_names(spec, &plan.issuance);
        plan.wait = wait;
        differs
    }

    /// Until a name that has to wait for its certificate may have one.
    fn wait(&self) -> Option<Duration> {
        self.0.lock().wait
    }
}

/// Lets the manager know of names that agents claim and give up.
pub fn follow(relay: &Relaying, wanted: Wanted, manager: Manager) -> JoinHandle<()> {
    let mut events = relay.registry.events();
    tokio::spawn(async move {
        loop {
            let wait = wanted.wait();
            let due = tokio::time::sleep(wait.unwrap_or_default());
            tokio::select! {
                event = events.recv() => if matches!(event, Err(RecvError::Closed)) { return },
                () = due, if wait.is_some() => {}
            }
            // A thousand agents that come at once are a thousand events.
            tokio::time::sleep(RELAY_CLAIMS_TOGETHER).await;
            while events.try_recv().is_ok() {}
            if wanted.look() {
                manager.request(wanted.requests());
            }
        }
    })
}

/// The note that nobody has joined yet.
pub const RELAY_NO_AGENTS: &str = "relay-no-agents";

/// Lets the log know who is refused.
pub fn watch(relay: Arc<Relaying>, says: Says) {
    tokio::spawn(async move {
        let say = |text| drop(says.send(FromWorker::Told { text }));
        relay.watch(say).await;
    });
}

/// Says what has to be done before it is of use: in the DNS, and for the first agent.
pub async fn advise(relay: Arc<Relaying>, port: Option<u16>, nonce: String, says: Says) {
    let tell = |finding: &Finding| {
        let _ = says.send(FromWorker::Found(Found::new(finding, 0)));
    };
    let domain = relay.registry.domain();
    let known = relay.registry.agents().len();
    if known == 0 {
        tell(&Finding {
            severity: Severity::Note,
            blame: Blame::Environment,
            id: RELAY_NO_AGENTS,
            what: format!("{domain} lends nothing yet: it knows no agent."),
            why: String::new(),
            fix: "doorstep relay invite laptop   (prints a line to paste on the laptop)".to_owned(),
        });
    }
    tokio::time::sleep(LOOK_FIRST).await;
    if let Some(port) = port
        && let Some(finding) = look(domain, port, &nonce).await
    {
        tell(&finding);
    }
}

/// Sites whose requests are counted: names that are lent count together, as one by the relay's name.
pub fn counted(spec: &Spec) -> Vec<Site> {
    let lent = spec.relay.iter().filter(|relay| !spec.sites.iter().any(|site| site.name == relay.domain.as_str()));
    let lent = lent.map(|relay| Site::new(relay.domain.as_str(), HostPolicy::Any, Vec::new()));
    spec.sites.iter().cloned().chain(lent).collect()
}

/// The port that is bound for the first listener with this policy, if there is one.
pub fn port(start: &Start, spec: &Spec, tls: &TlsPolicy) -> Option<u16> {
    let asked: Vec<SocketAddr> =
        spec.listeners.iter().filter(|listener| listener.tls == *tls).map(|listener| listener.address).collect();
    let socket = start.sockets.iter().find(|socket| asked.contains(&socket.address))?;
    // SAFETY: inherited from the supervisor, and open: nobody has taken the sockets yet.
    let socket = unsafe { BorrowedFd::borrow_raw(socket.fd) };
    SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok().map(|address| address.port())
}

/// What our own question is answered with, under every name.
pub fn nonce() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
