//! Everything that serves, put together by a [`Spec`]: engine, threads, certificates, pools, telemetry.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use doorstep_certs::{CertTable, Http01Answers, Manager, ManagerOptions};
use doorstep_config::Privileges;
use doorstep_http::limits::Limits;
use doorstep_http::{Engine, Observer};
use doorstep_model::{AppName, Finding, Listener, Spec, TlsPolicy};
use doorstep_net::{Handler, Patience, Quota, TlsSelect, raise_descriptor_limit};
use doorstep_telemetry::Telemetry;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::ledger::LinkLedger;
use super::members::AppMembers;
use super::public::Public;
use super::relay::Wanted;
use super::routes::Builder;
use super::samples::Samples;
use super::tunnel::Tunnels;
use super::{Says, relay};
use crate::control::protocol::Found;
use crate::limits::LAST_ACCEPT;
use crate::plane::{self, Plane};
use crate::relay::{Opening, Relaying, VisitorPorts};
use crate::up::dirs::Dirs;
use crate::up::link::{FromWorker, Numbers, Reader, Socket, Start, ToWorker};
use crate::up::{shape, supervisor};

/// A running worker.
pub struct Serving {
    pub(super) spec: Spec,
    pub(super) engine: Engine,
    pub(super) plane: Plane,
    pub(super) builder: Builder,
    pub(super) members: AppMembers,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) manager: Manager,
    pub(super) numbers: Numbers,
    pub(super) samples: Samples,
    /// Looks after certificates, once this worker is the one to do it.
    managing: Option<JoinHandle<()>>,
    pub(super) relay: Option<Arc<Relaying>>,
    wanted: Wanted,
    pub(super) tunnels: Tunnels,
    pub(super) public: Public,
    ledger: Arc<LinkLedger>,
    /// Lets the manager know of names that agents claim.
    following: Option<JoinHandle<()>>,
    /// Where it is asked over plain HTTP.
    plain_port: Option<u16>,
    pub(super) privileges: Privileges,
    pub(super) generation: u64,
    pub(super) says: Says,
}

impl Serving {
    /// Accepts connections when it returns.
    ///
    /// # Errors
    /// A folder that cannot be opened, a socket that cannot be used, threads that cannot be made.
    pub async fn start(start: Start, spec: Spec, dirs: Dirs, says: &Says) -> anyhow::Result<Self> {
        let telemetry = Telemetry::start(&spec.daemon.access_logs, &dirs.access_logs()).context("the access log")?;
        let reporting = says.clone();
        let report = move |finding: Finding| {
            let _ = reporting.send(FromWorker::Found(Found::new(&finding, 0)));
        };
        telemetry.report(report.clone());
        telemetry.set_sites(&relay::counted(&spec));
        let samples = Samples::default();
        let source = samples.clone();
        telemetry.add_samples(move || source.get());
        let (table, answers) = (CertTable::new()?, Http01Answers::default());
        let relay = relaying(&start, &spec, &dirs, &table, &telemetry)?;
        let wanted = Wanted::new(&spec, relay.clone());
        wanted.look();
        let options = ManagerOptions {
            report: Arc::new(report),
            ..ManagerOptions::new(dirs.tls(), spec.issuance.clone(), wanted.requests())
        };
        let manager = Manager::new(options, table.clone(), answers.clone());
        let mut members = AppMembers::default();
        let lent = relay.clone().map(|relay| Ok::<_, anyhow::Error>((relay, relay::nonce()?))).transpose()?;
        let mut builder = Builder::new(telemetry.clone(), answers, lent);
        let observer = relay.as_ref().map_or_else(|| telemetry.clone() as _, |relay| relay.observer());
        let engine = Engine::new(builder.table(&spec, &mut members)?, observer, Limits::default());
        builder.settle();
        let plain_port = relay::port(&start, &spec, &TlsPolicy::Plain);
        let threads = Arc::default();
        let plane = plane_of(&start, &spec, &engine, (&table, relay.as_deref()), &telemetry, &threads)?;
        let following = relay.as_ref().map(|relay| relay::follow(relay, wanted.clone(), manager.clone()));
        relay.iter().for_each(|relay| relay::watch(relay.clone(), says.clone()));
        let (generation, privileges, says) = (start.generation, start.privileges, says.clone());
        let config = start.sources.root.clone();
        let tunnels = Tunnels::new(threads, table, manager.clone(), wanted.clone(), says.clone());
        let ledger = Arc::new(LinkLedger::new(says.clone()));
        let public = Public::new(says.clone(), ledger.clone(), dirs.public(), config);
        let mut serving = Self {
            privileges,
            managing: None,
            numbers: Numbers::default(),
            samples,
            spec,
            engine,
            plane,
            builder,
            members,
            telemetry,
            manager,
            relay,
            wanted,
            following,
            plain_port,
            tunnels,
            public,
            ledger,
            generation,
            says,
        };
        serving.configure_tunnels();
        Ok(serving)
    }

    fn configure_tunnels(&mut self) {
        let observer: Arc<dyn Observer> = self.telemetry.clone();
        self.tunnels.configure(&self.spec, |site| self.builder.service(site), &observer);
    }

    /// Serves by another configuration of the same shape from now on.
    ///
    /// # Errors
    /// Why it cannot; then nothing changed.
    pub fn configure(&mut self, generation: u64, spec: Spec) -> anyhow::Result<()> {
        let table = self.builder.table(&spec, &mut self.members)?;
        self.engine.set_routes(table);
        self.builder.settle();
        let apps: Vec<AppName> = spec.apps.iter().map(|app| app.name.clone()).collect();
        self.members.retain(&apps);
        if let (Some(relay), Some(of_relay)) = (&self.relay, &spec.relay) {
            relay.configure(of_relay, &spec.sites);
        }
        self.wanted.set(&spec);
        self.wanted.look();
        self.manager.update(spec.issuance.clone(), self.wanted.requests());
        self.telemetry.set_logs(&spec.daemon.access_logs)?;
        self.telemetry.set_sites(&relay::counted(&spec));
        (self.spec, self.generation) = (spec, generation);
        self.configure_tunnels();
        self.public.configure(&self.spec);
        Ok(())
    }

    /// Does what the supervisor says, where that takes no time.
    pub fn obey(&mut self, message: ToWorker) {
        match message {
            ToWorker::Members { app, members } => self.members.set(AppName(app), members, &self.says),
            ToWorker::StaticFiles { app, files } => self.builder.set_static_files(&AppName(app), files, &self.says),
            ToWorker::Ask { id, question } => self.answer(id, question),
            ToWorker::Numbers(numbers) => self.numbers = numbers,
            ToWorker::ReopenLogs => self.telemetry.reopen(),
            ToWorker::Lead => self.lead(),
            ToWorker::Recorded { ticket, outcome } => self.ledger.answered(ticket, outcome),
            ToWorker::Start(_) | ToWorker::Configure { .. } | ToWorker::Drain { .. } => {}
        }
    }

    fn lead(&mut self) {
        if self.managing.is_some() {
            return;
        }
        self.tunnels.lead(&self.spec);
        self.public.lead(&self.spec);
        let manager = self.manager.clone();
        self.managing = Some(tokio::spawn(async move { manager.run().await }));
        if let (Some(relay), Some(nonce)) = (&self.relay, self.builder.nonce()) {
            relay.lead();
            tokio::spawn(relay::advise(relay.clone(), self.plain_port, nonce.to_owned(), self.says.clone()));
        }
    }

    /// Accepts no more, and finishes what is in flight, within `most`.
    pub async fn drain(mut self, most: Duration, for_good: bool, mut reader: Reader) {
        if let Some(relay) = &self.relay {
            relay.retire();
        }
        // First of all: whoever takes over wants the names.
        let mut leaving = [self.tunnels.leave(most), self.public.leave(for_good)];
        self.plane.drain(Patience::Gentle);
        if tokio::time::timeout(LAST_ACCEPT, self.plane.accepts_no_more()).await.is_ok() {
            let _ = self.says.send(FromWorker::AcceptsNoMore);
        }
        if let Some(managing) = self.managing.take() {
            managing.abort();
        }
        if let Some(following) = self.following.take() {
            following.abort();
        }
        let deadline = tokio::time::Instant::now() + most;
        let mut hears = true;
        loop {
            let message = tokio::select! {
                () = drained(&self.plane, &mut leaving) => break,
                () = tokio::time::sleep_until(deadline) => break,
                message = reader.next::<ToWorker>(), if hears => message,
            };
            match message {
                // A hurried end.
                Ok(Some(ToWorker::Drain { seconds: 0, .. })) => break,
                Ok(Some(message)) => self.obey(message),
                _ => hears = false,
            }
        }
        self.plane.close();
        self.telemetry.flush();
    }
}

/// Ends when neither the listeners' connections nor those of tunnels are there any more, and the router was told.
async fn drained(plane: &Plane, leaving: &mut [Option<JoinHandle<()>>]) {
    for one in leaving {
        if let Some(left) = one {
            let _ = left.await;
            *one = None;
        }
    }
    plane.drained().await;
}

/// Threads on the sockets that the supervisor handed over.
fn plane_of(
    start: &Start,
    spec: &Spec,
    engine: &Engine,
    (table, relay): (&CertTable, Option<&Relaying>),
    telemetry: &Arc<Telemetry>,
    handles: &Arc<Mutex<Vec<Handle>>>,
) -> anyhow::Result<Plane> {
    let select: Arc<dyn TlsSelect> = relay.map_or_else(|| Arc::new(table.clone()) as _, Relaying::select);
    let threads = supervisor::threads(spec).max(1);
    let most = spec.listeners.iter().filter_map(|listener| listener.max_connections).min();
    let quota = Quota::new(raise_descriptor_limit().min(most.unwrap_or(usize::MAX)));
    let listeners: HashMap<SocketAddr, Listener> =
        shape::listeners(spec).into_iter().map(|listener| (listener.address, listener)).collect();
    let metrics = spec.daemon.metrics.map(|address| (address, telemetry.metrics_engine()));
    let mut sockets: Vec<Vec<plane::Socket>> = (0..threads).map(|_| Vec::new()).collect();
    let mut turns: HashMap<SocketAddr, usize> = HashMap::new();
    for Socket { address, fd } in &start.sockets {
        // SAFETY: the supervisor let us inherit this descriptor, and each is taken once.
        let socket = TcpListener::from(unsafe { OwnedFd::from_raw_fd(*fd) });
        let Some(listener) = listeners.get(address) else { continue };
        socket.set_nonblocking(true).context("a listening socket")?;
        let tls = (listener.tls == TlsPolicy::Sites).then(|| select.clone());
        let handler: Arc<dyn Handler> = match &metrics {
            Some((of, metrics)) if of == address => Arc::new(metrics.clone()),
            _ => match relay.filter(|_| tls.is_none()) {
                Some(relay) => relay.handler(address, Arc::new(engine.clone())),
                None => Arc::new(engine.clone()),
            },
        };
        // There may be more sockets than threads, after the number of threads was made smaller: each has to be served.
        let turn = turns.entry(*address).or_default();
        let proxy_from = listener.proxy_from.clone().into();
        sockets[*turn % threads].push(plane::Socket { listener: socket, tls, handler, proxy_from });
        *turn += 1;
    }
    let registry = relay.map(|relay| relay.registry.clone());
    registry.iter().for_each(|registry| registry.count_in(quota.clone()));
    let handles = handles.clone();
    let began = move || {
        handles.lock().push(Handle::current());
        registry.iter().for_each(|registry| registry.add_runtime(Handle::current()));
    };
    Ok(Plane::start(sockets, quota, began)?)
}

/// The relay, where there is one.
fn relaying(
    start: &Start,
    spec: &Spec,
    dirs: &Dirs,
    table: &CertTable,
    telemetry: &Arc<Telemetry>,
) -> anyhow::Result<Option<Arc<Relaying>>> {
    let Some(relay) = &spec.relay else { return Ok(None) };
    let port = |policy| relay::port(start, spec, &policy);
    let relaying = Relaying::open(Opening {
        spec: relay,
        dir: &dirs.relay(),
        tls: &dirs.tls(),
        table,
        ports: VisitorPorts { http: port(TlsPolicy::Plain), https: port(TlsPolicy::Sites) },
        observer: telemetry.clone(),
    })?;
    relaying.configure(relay, &spec.sites);
    Ok(Some(Arc::new(relaying)))
}
