//! `[public]`: ports of the router that lead here, and names that follow this computer's address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use doorstep_dns::{Addresses, Memory, Names, Options as NamesOptions};
use doorstep_gateway::{Family, Mapper, News, Options, Protocol, State, Surroundings, Want};
use doorstep_model::{Blame, DynamicDns, Finding, Severity, Spec};
use doorstep_net::NetworkChanges;
use doorstep_store::{read_private, write_private};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Says;
use super::ledger::LinkLedger;
use crate::control::protocol::Found;
use crate::control::public_status::{MappingStatus, NameState, NameStatus};
use crate::lend::known;
use crate::lend::ways::Known;
use crate::limits::{GIVE_BACK, OBSERVE_EVERY};
use crate::outside::Eyes;
use crate::up::link::FromWorker;

/// What is kept outside of this computer.
pub struct Public {
    says: Says,
    ledger: Arc<LinkLedger>,
    /// Where what was published is remembered.
    memory: PathBuf,
    /// Which file says what the provider wants, for the journal.
    config: PathBuf,
    leads: bool,
    now: Option<Kept>,
}

struct Kept {
    wanted: Wanted,
    mapper: Option<Mapper>,
    names: Option<Names>,
    addresses: watch::Receiver<Addresses>,
    watching: JoinHandle<()>,
}

/// What the configuration says.
#[derive(Clone, Default)]
struct Wanted {
    ports: Vec<u16>,
    dns: Vec<DynamicDns>,
    eyes: Option<Eyes>,
}

impl Wanted {
    fn of(spec: &Spec) -> Self {
        let mut ports: Vec<u16> = spec.listeners.iter().filter(|one| one.map).map(|one| one.address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        let known = spec.tunnel.as_ref().and_then(|tunnel| known::of_tunnel(tunnel).ok()).unwrap_or_default();
        let relays = known.into_iter().filter_map(|known| match known {
            Known::Relay { identity, .. } => Some(*identity),
            Known::Ssh(_) | Known::Kite { .. } => None,
        });
        let eyes = Some(Eyes::new(relays)).filter(|eyes| !eyes.is_blind());
        Self { ports, dns: spec.dns.clone(), eyes }
    }

    fn is_nothing(&self) -> bool {
        self.ports.is_empty() && self.dns.is_empty()
    }

    fn is(&self, other: &Self) -> bool {
        (&self.ports, &self.dns) == (&other.ports, &other.dns)
    }
}

impl Public {
    pub fn new(says: Says, ledger: Arc<LinkLedger>, memory: PathBuf, config: PathBuf) -> Self {
        Self { says, ledger, memory, config, leads: false, now: None }
    }

    /// Keeps what `spec` says from now on, where this worker is the one to do it.
    pub fn configure(&mut self, spec: &Spec) {
        let wanted = Wanted::of(spec);
        if !self.leads || self.now.as_ref().is_some_and(|now| now.wanted.is(&wanted)) {
            return;
        }
        let now = match self.now.take() {
            // Another worker serves where listeners are others, so that ports are the same within one.
            Some(now) if now.wanted.ports == wanted.ports && !wanted.is_nothing() => {
                let names = self.keep_names(&wanted.dns, &now.addresses);
                Some(Kept { names, wanted, ..now })
            }
            now => {
                if let Some(now) = now {
                    tokio::spawn(now.end(false));
                }
                (!wanted.is_nothing()).then(|| self.start(wanted))
            }
        };
        self.now = now;
    }

    /// This worker is the one that serves.
    pub fn lead(&mut self, spec: &Spec) {
        if !std::mem::replace(&mut self.leads, true) {
            self.configure(spec);
        }
    }

    /// Ends. `for_good`: nobody takes over, and ports are closed; otherwise they stay open for the next worker.
    pub fn leave(&mut self, for_good: bool) -> Option<JoinHandle<()>> {
        self.leads = false;
        let now = self.now.take()?;
        Some(tokio::spawn(now.end(for_good)))
    }

    pub fn ports(&self) -> Vec<MappingStatus> {
        let mapper = self.now.as_ref().and_then(|now| now.mapper.as_ref());
        mapper.map(Mapper::status).unwrap_or_default().iter().map(port_status).collect()
    }

    pub fn names(&self) -> Vec<NameStatus> {
        let names = self.now.as_ref().and_then(|now| now.names.as_ref());
        names.map(Names::status).unwrap_or_default().iter().map(name_status).collect()
    }

    fn keep_names(&self, dns: &[DynamicDns], addresses: &watch::Receiver<Addresses>) -> Option<Names> {
        if dns.is_empty() {
            return None;
        }
        let memory = Arc::new(File(self.memory.join("names.json")));
        let config = Some(self.config.clone());
        let options = NamesOptions { ledger: self.ledger.clone(), memory, resolver: None, config };
        let (tells, news) = mpsc::unbounded_channel();
        let names = Names::start(dns.to_vec(), addresses, &options, &tells);
        // Ends with the names.
        tokio::spawn(follow_names(news, self.says.clone()));
        Some(names)
    }

    fn start(&self, wanted: Wanted) -> Kept {
        let (addresses, told) = watch::channel(Addresses::default());
        let addresses = Arc::new(addresses);
        let (heard, hears) = mpsc::unbounded_channel();
        let mapper = (!wanted.ports.is_empty()).then(|| {
            let want = |port: u16, family| Want { protocol: Protocol::Tcp, family, port, external: port };
            let families = [Family::V4, Family::V6];
            let wants = wanted.ports.iter().flat_map(|port| families.map(|family| want(*port, family))).collect();
            let ledger = self.ledger.clone();
            Mapper::start(Options { wants, ledger, look: Arc::new(Surroundings::now) }, heard)
        });
        let watcher = Watcher {
            mapped: mapper.is_some(),
            ports: wanted.ports.clone(),
            outside: None,
            ipv6_open: false,
            eyes: wanted.eyes.clone(),
            addresses,
            says: self.says.clone(),
            told: None,
        };
        let names = self.keep_names(&wanted.dns, &told);
        Kept { wanted, mapper, names, addresses: told, watching: tokio::spawn(watcher.run(hears)) }
    }
}

impl Kept {
    async fn end(mut self, for_good: bool) {
        self.watching.abort();
        drop(self.names.take());
        match self.mapper.take() {
            Some(mapper) if for_good => mapper.leave(GIVE_BACK).await,
            Some(mapper) => mapper.hand_over(),
            None => {}
        }
    }
}

/// Finds out which addresses visitors have to use.
struct Watcher {
    /// The router is asked: without its port, nobody gets here by IPv4.
    mapped: bool,
    ports: Vec<u16>,
    /// What the router says its address is, and the port that leads here.
    outside: Option<(Option<IpAddr>, u16)>,
    /// The router's firewall lets IPv6 through to here.
    ipv6_open: bool,
    eyes: Option<Eyes>,
    addresses: Arc<watch::Sender<Addresses>>,
    says: Says,
    /// The last finding, so that it is not told twice.
    told: Option<String>,
}

impl Watcher {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) {
        let mut changes = NetworkChanges::watch();
        let mut is_open = true;
        loop {
            self.look().await;
            tokio::select! {
                said = news.recv(), if is_open => match said {
                    Some(said) => self.hear(said),
                    None => is_open = false,
                },
                _ = changes.next() => {}
                () = sleep(OBSERVE_EVERY) => {}
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Mapped { want, mapped } if want % 2 == 0 => {
                let port = self.ports.get(want / 2).copied().unwrap_or_default();
                let at = mapped.outside.map_or_else(|| "its address".to_owned(), |ip| ip.to_string());
                self.tell(format!(
                    "The router sends visitors of {at} port {} to port {port} here ({}).",
                    mapped.external, mapped.by
                ));
                if mapped.external != port {
                    self.find(
                        "port-other",
                        format!("Port {port} of the router is taken; visitors must use port {}.", mapped.external),
                        "Web addresses without a port need 80 and 443: free them in the router's settings.",
                    );
                }
                self.outside = Some((mapped.outside, mapped.external));
            }
            News::Mapped { .. } => self.ipv6_open = true,
            News::Gone { want, why } if want % 2 == 0 => {
                self.outside = None;
                self.find("port-closed", format!("The router's port is closed again: {why}."), "It is asked again.");
            }
            News::Refused { want, why } if want % 2 == 0 => {
                self.outside = None;
                self.find("port-refused", format!("The router opens no port: {why}."), &why.fix());
            }
            // Many routers open no IPv6 ports on request, and many networks have no IPv6.
            News::Gone { .. } | News::Refused { .. } => self.ipv6_open = false,
        }
    }

    async fn look(&mut self) {
        let here = tokio::task::spawn_blocking(Surroundings::now).await.ok();
        let roads = here.map(|here| here.roads).unwrap_or_default();
        let local = |v4: bool| roads.iter().map(|road| road.local).find(|ip| ip.is_ipv4() == v4);
        let observed = match (&self.eyes, local(true)) {
            (Some(eyes), Some(from)) => eyes.observe(from).await,
            _ => None,
        };
        let own = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        };
        let v4: Option<Ipv4Addr> = match (self.mapped, &self.outside) {
            (true, None) => None,
            // What others see in front of a router without an address of the internet is the provider's, and leads nowhere.
            (true, Some((Some(outside), _))) if !crate::outside::is_public(*outside) => None,
            // Who sees us from outside knows better than the router.
            (true, Some((outside, _))) => {
                observed.or(*outside).filter(|ip| crate::outside::is_public(*ip)).and_then(own)
            }
            (false, _) => observed.or_else(|| local(true)).filter(|ip| crate::outside::is_public(*ip)).and_then(own),
        };
        if let (true, Some((Some(outside), _)), None) = (self.mapped, &self.outside, v4) {
            let what = format!(
                "The router opened a port, and nobody can come to it: {}.",
                crate::outside::not_public(Some(*outside))
            );
            self.find("no-public-address", what, "");
        }
        // Where the router says nothing of its firewall, visitors by IPv6 would most likely find it closed.
        let v6: Option<Ipv6Addr> = local(false).filter(|_| !self.mapped || self.ipv6_open).and_then(|ip| match ip {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        });
        self.addresses.send_if_modified(|known| {
            let now = Addresses { v4, v6, aliases: known.aliases.clone() };
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    fn find(&mut self, id: &'static str, what: String, fix: &str) {
        if self.told.as_ref() == Some(&what) {
            return;
        }
        self.told = Some(what.clone());
        let finding = Finding {
            severity: Severity::Warning,
            blame: Blame::Environment,
            id,
            what,
            why: String::new(),
            fix: fix.to_owned(),
        };
        let _ = self.says.send(FromWorker::Found(Found::new(&finding, 0)));
    }

    fn tell(&self, text: String) {
        let _ = self.says.send(FromWorker::Told { text });
    }
}

async fn follow_names(mut news: mpsc::UnboundedReceiver<doorstep_dns::News>, says: Says) {
    while let Some(said) = news.recv().await {
        let message = match said {
            doorstep_dns::News::Published { name, values } => {
                FromWorker::Told { text: format!("{name} leads here now: {}.", values.join(", ")) }
            }
            doorstep_dns::News::Seen { .. } => continue,
            doorstep_dns::News::Failed { fault, .. } => FromWorker::Found(Found::new(&fault.finding(), 0)),
        };
        let _ = says.send(message);
    }
}

/// What is remembered, in a file of the worker's own folder.
struct File(PathBuf);

impl Memory for File {
    fn load(&self) -> Option<String> {
        read_private(&self.0).ok()
    }

    fn save(&self, text: &str) -> std::io::Result<()> {
        write_private(&self.0, text.as_bytes())
    }
}

fn port_status(status: &doorstep_gateway::MappingStatus) -> MappingStatus {
    let family = match status.want.family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let shown = MappingStatus { port: status.want.port, family: family.to_owned(), ..MappingStatus::default() };
    match &status.state {
        State::Asking => shown,
        State::Mapped { mapped, until } => MappingStatus {
            open: true,
            outside: mapped
                .outside
                .map(|ip| std::net::SocketAddr::new(ip, mapped.external).to_string())
                .unwrap_or_default(),
            by: mapped.by.to_owned(),
            seconds_left: until.map(|until| until.saturating_duration_since(Instant::now()).as_secs()),
            ..shown
        },
        State::Refused { why, .. } => MappingStatus { problem: why.to_string(), fix: why.fix(), ..shown },
    }
}

fn name_status(status: &doorstep_dns::NameStatus) -> NameStatus {
    let (state, problem, fix) = match &status.state {
        doorstep_dns::NameState::Waiting => (NameState::Waiting, String::new(), String::new()),
        doorstep_dns::NameState::Published => (NameState::Published, String::new(), String::new()),
        doorstep_dns::NameState::Seen => (NameState::Served, String::new(), String::new()),
        doorstep_dns::NameState::Failed { what, fix } => (NameState::Failed, what.clone(), fix.clone()),
    };
    NameStatus {
        name: status.name.to_string(),
        provider: status.provider.clone(),
        state,
        values: status.values.clone(),
        since_at: status.since.duration_since(UNIX_EPOCH).map_or(0, |time: Duration| time.as_secs().cast_signed()),
        problem,
        fix,
    }
}
