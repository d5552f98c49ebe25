//! `[tunnel]`: sites and ports of this daemon, lent to visitors from elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use doorstep_certs::{CertName, CertRequest, CertTable, Manager};
use doorstep_http::{Observer, Service, SiteRoutes, Strangers, TableOptions};
use doorstep_model::{
    Blame, CertificateSource, Finding, HostPolicy, Hostname, HttpsPolicy, Lent, Matcher, Severity, Site, Spec, Tunnel,
    Via, WebLent,
};
use doorstep_tunnel::Sink;
use doorstep_tunnel::agent::Threads;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Says;
use super::relay::Wanted;
use crate::control::protocol::Found;
use crate::control::tunnel_status::{LentStatus, TunnelState, TunnelStatus};
use crate::lend::ways::ways;
use crate::lend::{Fares, Lending, LentSite, News, Offer, State, called, host_of, known, seconds_until, words};
use crate::limits::{LENT_NAMES, TUNNEL_TAKEOVER};
use crate::up::link::FromWorker;

/// What is lent now, and how it fares.
pub struct Tunnels {
    threads: Arc<Mutex<Vec<Handle>>>,
    table: CertTable,
    manager: Manager,
    wanted: Wanted,
    says: Says,
    /// By the site's name.
    sites: HashMap<String, Arc<LentSite>>,
    /// This worker is the one to lend.
    leads: bool,
    now: Option<(Tunnel, Lending)>,
}

impl Tunnels {
    pub fn new(
        threads: Arc<Mutex<Vec<Handle>>>,
        table: CertTable,
        manager: Manager,
        wanted: Wanted,
        says: Says,
    ) -> Self {
        Self { threads, table, manager, wanted, says, sites: HashMap::new(), leads: false, now: None }
    }

    /// Lends what `spec` says from now on. Sites that are lent already have their new routes at once; the sessions with
    /// relays stay, unless it is something else that is lent, or by somebody else.
    pub fn configure(
        &mut self,
        spec: &Spec,
        service: impl Fn(&str) -> Option<Arc<dyn Service>>,
        observer: &Arc<dyn Observer>,
    ) {
        let Some(tunnel) = &spec.tunnel else {
            self.sites.clear();
            self.stop();
            return;
        };
        let any_name = tunnel.vias.iter().any(|via| matches!(via, Via::Ssh { .. }));
        let mut sites = HashMap::new();
        for web in webs(tunnel) {
            let Some(site) = spec.sites.iter().find(|site| site.name == web.site) else { continue };
            let Some(service) = service(&site.name) else { continue };
            let (routes, options) = lent_as(site, service, any_name);
            let same = self.now.as_ref().filter(|(now, _)| now == tunnel).and(self.sites.get(&site.name));
            let lent = match same {
                Some(lent) => {
                    lent.set_site(routes, options);
                    lent.clone()
                }
                None => Arc::new(LentSite::new(routes, options, any_name, observer.clone())),
            };
            sites.insert(site.name.clone(), lent);
        }
        self.sites = sites;
        if self.now.as_ref().is_none_or(|(now, _)| now != tunnel) {
            self.stop();
            if self.leads {
                self.start(tunnel, &spec.sites, Duration::ZERO);
            }
        }
    }

    /// This worker is the one that serves: lending is its to do. The one before is about to let go of the names.
    pub fn lead(&mut self, spec: &Spec) {
        if std::mem::replace(&mut self.leads, true) {
            return;
        }
        if let Some(tunnel) = &spec.tunnel {
            self.start(tunnel, &spec.sites, TUNNEL_TAKEOVER);
        }
    }

    /// Lets go of everything that is lent; visitors who are there have `patience` to finish.
    pub fn leave(&mut self, patience: Duration) -> Option<tokio::task::JoinHandle<()>> {
        self.leads = false;
        let (_, lending) = self.now.take()?;
        Some(tokio::spawn(lending.leave(patience)))
    }

    pub fn status(&self) -> Vec<TunnelStatus> {
        let Some((tunnel, lending)) = &self.now else { return Vec::new() };
        let of = |offer: &usize| tunnel.lent.get(*offer).map(called).unwrap_or_default();
        let each = |(way, round_trip): (crate::lend::WayStatus, Option<Duration>)| {
            let lent = way.addresses.iter().map(|(offer, address)| LentStatus {
                what: of(offer),
                address: address.clone(),
                problem: String::new(),
            });
            let refused = way.refused.iter().map(|(offer, why)| LentStatus {
                what: of(offer),
                address: String::new(),
                problem: why.clone(),
            });
            let (state, problem, again) = fares(&way.fares);
            TunnelStatus {
                via: way.via.clone(),
                state,
                problem,
                again_in_seconds: again,
                since_at: way.since.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed()),
                round_trip_ms: round_trip.map(|time| time.as_secs_f64() * 1000.0),
                reconnects: way.reconnects,
                lent: lent.chain(refused).collect(),
            }
        };
        lending.status().into_iter().map(each).collect()
    }

    fn stop(&mut self) {
        if let Some((_, lending)) = self.now.take() {
            tokio::spawn(lending.leave(crate::limits::WAY_DRAIN));
        }
        self.wanted.lend(Vec::new());
    }

    fn start(&mut self, tunnel: &Tunnel, sites: &[Site], after: Duration) {
        let known = match known::of_tunnel(tunnel) {
            Ok(known) => known,
            Err(error) => {
                self.find(&finding(Severity::Error, "tunnel-unusable", format!("Nothing is lent: {error}.")));
                return;
            }
        };
        let offers: Vec<Offer> = tunnel.lent.iter().filter_map(|lent| self.offer(lent)).collect();
        let threads = Threads::Given(self.threads.lock().clone());
        let (news, heard) = mpsc::unbounded_channel();
        let follower = Follower {
            lent: tunnel.lent.iter().filter(|lent| self.offer(lent).is_some()).cloned().collect(),
            sites: self.sites.clone(),
            specs: sites.to_vec(),
            wanted: self.wanted.clone(),
            manager: self.manager.clone(),
            says: self.says.clone(),
            granted: Vec::new(),
        };
        tokio::spawn(follower.run(heard));
        self.now = Some((tunnel.clone(), Lending::start_after(after, ways(known, &threads), offers, news)));
    }

    fn offer(&self, lent: &Lent) -> Option<Offer> {
        let sink = match lent {
            Lent::Web(web) => {
                let handler = self.sites.get(&web.site)?.clone();
                match web.end_to_end {
                    true => Sink::ServeTls { select: Arc::new(self.table.clone()), handler },
                    false => Sink::Serve(handler),
                }
            }
            Lent::Tcp { to, .. } => Sink::Dial(to.clone()),
            Lent::Udp { to, .. } => Sink::DialUdp(*to),
        };
        Some(Offer { lent: lent.clone(), sink })
    }

    fn find(&self, finding: &Finding) {
        let _ = self.says.send(FromWorker::Found(Found::new(finding, 0)));
    }
}

/// Listens to what becomes of one lending.
struct Follower {
    lent: Vec<Lent>,
    sites: HashMap<String, Arc<LentSite>>,
    specs: Vec<Site>,
    wanted: Wanted,
    manager: Manager,
    says: Says,
    granted: Vec<CertRequest>,
}

impl Follower {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::Lent { offer, via, address } => self.lent(offer, &via, &address),
                News::Refused { offer, via, why, .. } => {
                    let what = self.lent.get(offer).map(called).unwrap_or_default();
                    let mut finding = words::refused(&via, &why);
                    finding.what = format!("{what}: {}", finding.what);
                    self.find(&finding);
                }
                News::Notice { via, text } => self.find(&words::notice(&via, &text)),
                News::State { via, state: State::Stopped { why, fix }, .. } => {
                    let what = format!("{via} lends nothing any more: {why}.");
                    self.find(&Finding { fix, ..finding(Severity::Error, "tunnel-stopped", what) });
                }
                News::State { via, state: State::Waiting { why, .. }, .. } => {
                    self.tell(format!("The tunnel to {via} is down, and tried again: {why}."));
                }
                News::State { .. } | News::StandsBy { .. } | News::Gone { .. } | News::Over => {}
            }
        }
    }

    fn lent(&mut self, offer: usize, via: &str, address: &str) {
        let Some(lent) = self.lent.get(offer) else { return };
        self.tell(format!("{address} leads to {} (by {via}).", called(lent)));
        let Lent::Web(web) = lent else { return };
        if let Some(site) = self.sites.get(&web.site) {
            site.answers_at(address);
        }
        let name = host_of(address).and_then(|host| host.parse::<Hostname>().ok());
        let (true, Some(name)) = (web.end_to_end, name) else { return };
        let Ok(name) = name.as_str().parse::<CertName>() else { return };
        let Some(site) = self.specs.iter().find(|site| site.name == web.site) else { return };
        let of_site =
            matches!(&site.hosts, HostPolicy::Names(names) if names.iter().any(|known| CertName::from(known) == name));
        if of_site && site.certificate != CertificateSource::None
            || self.granted.iter().any(|request| request.names.contains(&name))
        {
            return;
        }
        let source = match &site.certificate {
            CertificateSource::Local => CertificateSource::Local,
            _ => CertificateSource::Auto,
        };
        // A relay that grants another name each time has no more certificates asked for than this.
        if self.granted.len() >= LENT_NAMES {
            self.granted.remove(0);
        }
        self.granted.push(CertRequest {
            site: site.name.clone(),
            names: vec![name],
            source,
            client_ca: site.client_ca.clone(),
            unnamed: false,
        });
        self.wanted.lend(self.granted.clone());
        let (wanted, manager) = (self.wanted.clone(), self.manager.clone());
        // Reads and writes files.
        tokio::task::spawn_blocking(move || manager.request(wanted.requests()));
    }

    fn find(&self, finding: &Finding) {
        let _ = self.says.send(FromWorker::Found(Found::new(finding, 0)));
    }

    fn tell(&self, text: String) {
        let _ = self.says.send(FromWorker::Told { text });
    }
}

/// A site's service as visitors of a tunnel get it.
fn lent_as(site: &Site, service: Arc<dyn Service>, any_name: bool) -> (SiteRoutes, TableOptions) {
    let routes = SiteRoutes {
        name: Some(site.name.clone()),
        // A port alone has no HTTPS beside it that could be redirected to.
        https: if any_name { HttpsPolicy::Optional } else { site.https },
        client_auth: site.client_ca.is_some(),
        ..SiteRoutes::new(HostPolicy::Any, vec![(Matcher::any(), service)])
    };
    let options = TableOptions { request_ids: true, strangers: Strangers::Quiet, ..TableOptions::default() };
    (routes, options)
}

fn webs(tunnel: &Tunnel) -> impl Iterator<Item = &WebLent> {
    tunnel.lent.iter().filter_map(|lent| match lent {
        Lent::Web(web) => Some(web),
        Lent::Tcp { .. } | Lent::Udp { .. } => None,
    })
}

fn fares(fares: &Fares) -> (TunnelState, String, Option<u64>) {
    match fares {
        Fares::StandsBy => (TunnelState::Standby, String::new(), None),
        Fares::In(State::Connecting) => (TunnelState::Connecting, String::new(), None),
        Fares::In(State::Up { .. }) => (TunnelState::Up, String::new(), None),
        Fares::In(State::Waiting { why, until }) => (TunnelState::Waiting, why.clone(), Some(seconds_until(*until))),
        Fares::In(State::Stopped { why, .. }) => (TunnelState::Stopped, why.clone(), None),
    }
}

fn finding(severity: Severity, id: &'static str, what: String) -> Finding {
    Finding { severity, blame: Blame::Environment, id, what, why: String::new(), fix: String::new() }
}
