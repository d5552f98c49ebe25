//! Composition: a [`Spec`] becomes a running engine. The only place where services, guards and sockets meet.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use doorstep_files::{FileService, FolderService};
use doorstep_guard::Stop;
use doorstep_http::limits::Limits;
use doorstep_http::{Engine, Observer, RouteTable, Service, SiteRoutes, Strangers, TableOptions};
use doorstep_model::{Action, HostPolicy, Listener, Site, Spec, TlsPolicy};
use doorstep_net::{BindError, Connector, ListenerGroup, Quota, TlsSelect, raise_descriptor_limit};
use doorstep_proxy::ReverseProxy;
use doorstep_tunnel::agent::Threads;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::runtime::Handle;

use crate::lend::LentSite;
use crate::plane::{Plane, Socket};

/// Listeners of a spec, bound and not yet accepting.
pub struct Bound {
    listeners: Vec<(Listener, ListenerGroup)>,
}

/// What an engine needs beside its spec.
pub struct Options {
    /// Threads of the data plane.
    pub workers: usize,
    pub observer: Arc<dyn Observer>,
    /// Answered at `/.doorstep/ping/NONCE`: how an address is checked before it is printed.
    pub nonce: String,
    /// Called by guards that end the share.
    pub stop: Stop,
    /// For listeners with a certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where apps may be.
    pub allowed: fn(IpAddr) -> bool,
}

/// A running engine.
pub struct Running {
    plane: Plane,
    /// Of the first site: for those who come another way.
    routes: Routes,
    nonce: String,
    observer: Arc<dyn Observer>,
    /// The threads' runtimes.
    threads: Arc<Mutex<Vec<Handle>>>,
}

impl Bound {
    /// Binds every listener once per worker.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub fn bind(listeners: &[Listener], workers: usize) -> Result<Self, BindError> {
        let bind = |listener: &Listener| Ok((listener.clone(), ListenerGroup::bind(listener.address, workers)?));
        Ok(Self { listeners: listeners.iter().map(bind).collect::<Result<_, _>>()? })
    }

    /// The addresses as bound, ports chosen by the kernel filled in.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, group)| group.address).collect()
    }
}

impl Running {
    /// Compiles the spec's sites and starts to accept.
    ///
    /// # Errors
    /// A folder or file that cannot be opened, a listener with TLS but no certificate, threads that cannot be made.
    pub fn start(spec: &Spec, bound: Bound, options: Options) -> anyhow::Result<Self> {
        let mut routes =
            RouteTable::new(TableOptions { beacon: Some(options.nonce.clone()), ..TableOptions::default() });
        let mut first = None;
        for site in &spec.sites {
            let services = services(site, &options)?;
            first.get_or_insert_with(|| services.clone());
            routes.add_site(SiteRoutes::new(site.hosts.clone(), services))?;
        }
        let most = bound.listeners.iter().filter_map(|(listener, _)| listener.max_connections).min();
        let quota = Quota::new(raise_descriptor_limit().min(most.unwrap_or(usize::MAX)));
        let engine = Engine::new(routes, options.observer.clone(), Limits::default());
        let mut sockets: Vec<Vec<Socket>> = (0..options.workers).map(|_| Vec::new()).collect();
        for (listener, group) in bound.listeners {
            let tls: Option<Arc<dyn TlsSelect>> = match listener.tls {
                TlsPolicy::Plain => None,
                TlsPolicy::LocalCertificate | TlsPolicy::Sites => {
                    Some(Arc::new(options.tls.clone().context("a listener needs a certificate")?))
                }
            };
            for (worker, listener) in group.sockets.into_iter().enumerate() {
                sockets[worker].push(Socket {
                    listener,
                    tls: tls.clone(),
                    handler: Arc::new(engine.clone()),
                    proxy_from: Arc::default(),
                });
            }
        }
        let threads: Arc<Mutex<Vec<Handle>>> = Arc::default();
        let handles = threads.clone();
        let began = move || handles.lock().push(Handle::current());
        Ok(Self {
            plane: Plane::start(sockets, quota, began).context("worker threads cannot be started")?,
            routes: first.unwrap_or_default(),
            threads,
            nonce: options.nonce,
            observer: options.observer,
        })
    }

    /// The site for visitors of a tunnel: the same services and guards. See [`LentSite::new`] for `any_name`.
    pub fn lent_site(&self, any_name: bool) -> Arc<LentSite> {
        let site = SiteRoutes::new(HostPolicy::Any, self.routes.clone());
        let options =
            TableOptions { beacon: Some(self.nonce.clone()), strangers: Strangers::Quiet, ..TableOptions::default() };
        Arc::new(LentSite::new(site, options, any_name, self.observer.clone()))
    }

    /// The threads of the data plane.
    pub fn threads(&self) -> Threads {
        Threads::Given(self.threads.lock().clone())
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.plane.open_connections()
    }

    /// Stops accepting and lets connections finish what is in flight.
    pub fn drain(&self) {
        self.plane.drain(doorstep_net::Patience::Now);
    }

    /// Ends when the last connection of a drain is gone.
    pub async fn drained(&self) {
        self.plane.drained().await;
    }

    /// Ends at once; what is in flight is cut.
    pub fn close(self) {
        self.plane.close();
    }
}

type Routes = Vec<(doorstep_model::Matcher, Arc<dyn Service>)>;

fn services(site: &Site, options: &Options) -> anyhow::Result<Routes> {
    let mut routes: Routes = Vec::new();
    for route in &site.routes {
        let service: Arc<dyn Service> = match &route.action {
            Action::Folder { root, options } => Arc::new(FolderService::open(root, options)?),
            Action::File { path, options } => Arc::new(FileService::open(path, options)?),
            Action::Spool { spool, name } => Arc::new(FileService::named(spool, name)?),
            Action::Proxy(proxy) => {
                let connector = Arc::new(Connector::only_to(options.allowed));
                Arc::new(ReverseProxy::new(proxy.clone(), connector, options.observer.clone()))
            }
            action => anyhow::bail!("{action:?} needs `doorstep up`"),
        };
        routes.push((route.matcher.clone(), doorstep_guard::wrap(&site.guards, service, options.stop.clone(), None)));
    }
    Ok(routes)
}
