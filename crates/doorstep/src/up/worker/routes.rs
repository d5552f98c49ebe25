//! Composition: the sites of a [`Spec`] become a route table. Where services, filters, guards, pools and apps meet.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use doorstep_certs::Http01Answers;
use doorstep_files::{FileService, FolderService};
use doorstep_guard::Uplink;
use doorstep_http::actions::{Maintenance, Redirect, Respond};
use doorstep_http::{BoxFuture, Request, Response, RouteTable, Routes, Service, SiteRoutes, Strangers, TableOptions};
use doorstep_model::{
    Action, AppName, Blame, ByteRate, FileOptions, Filters, Finding, Guards, Matcher, Members, Pool, Proxy, Route,
    Severity, Site, Spec, TlsPolicy,
};
use doorstep_net::Connector;
use doorstep_proxy::{Membership, PoolService, ReverseProxy};
use doorstep_telemetry::Telemetry;
use tokio::task::JoinHandle;

use super::Says;
use super::guards::KeptGuards;
use super::kept::Kept;
use super::members::AppMembers;
use crate::control::protocol::Found;
use crate::relay::Relaying;
use crate::up::link::FromWorker;

/// Makes route tables, and keeps what may outlive one: pools with their health and connections, folders
/// with their caches, guards with what they know of visitors.
pub struct Builder {
    telemetry: Arc<Telemetry>,
    answers: Http01Answers,
    connectors: Connectors,
    uplink: Option<(ByteRate, Uplink)>,
    pools: Kept<CheckedPool>,
    folders: Kept<FolderService>,
    guards: KeptGuards,
    /// Pools of the table made last whose members the configuration names.
    fixed: Vec<(String, Arc<PoolService>)>,
    statics: HashMap<AppName, StaticFiles>,
    /// What answers for each site of the table made last, whatever way its visitors come.
    services: HashMap<String, Arc<dyn Service>>,
    /// And what our own question is answered with, by which a relay sees whether its names lead here.
    relay: Option<(Arc<Relaying>, String)>,
}

/// Where an app's collected static files are served, shared with the services of each table.
type StaticFiles = Arc<ArcSwapOption<(String, Arc<dyn Service>)>>;

/// How the sites reach their upstreams.
struct Connectors {
    everywhere: Arc<Connector>,
    /// Never to where clouds hand out keys, whatever a name resolves to: for sites that are lent to the internet.
    guarded: Arc<Connector>,
    /// The site at hand is lent.
    lent: bool,
}

impl Connectors {
    fn get(&self) -> Arc<Connector> {
        if self.lent { self.guarded.clone() } else { self.everywhere.clone() }
    }
}

impl Default for Connectors {
    fn default() -> Self {
        let guarded = Connector::only_to(|ip| !doorstep_tunnel::is_forbidden(ip));
        Self { everywhere: Arc::new(Connector::new()), guarded: Arc::new(guarded), lent: false }
    }
}

/// A pool, and the task that asks its members how they are, as long as some table needs it.
struct CheckedPool {
    service: Arc<PoolService>,
    checks: JoinHandle<()>,
}

impl Drop for CheckedPool {
    fn drop(&mut self) {
        self.checks.abort();
    }
}

impl Builder {
    pub fn new(telemetry: Arc<Telemetry>, answers: Http01Answers, relay: Option<(Arc<Relaying>, String)>) -> Self {
        Self {
            telemetry,
            answers,
            connectors: Connectors::default(),
            uplink: None,
            pools: Kept::default(),
            folders: Kept::default(),
            guards: KeptGuards::default(),
            fixed: Vec::new(),
            statics: HashMap::new(),
            services: HashMap::new(),
            relay,
        }
    }

    pub fn nonce(&self) -> Option<&str> {
        self.relay.as_ref().map(|(_, nonce)| nonce.as_str())
    }

    /// Compiles the sites. [`Self::settle`] follows when the table is in force.
    ///
    /// # Errors
    /// A folder or file that cannot be opened, a pattern that cannot be compiled.
    pub fn table(&mut self, spec: &Spec, members: &mut AppMembers) -> anyhow::Result<RouteTable> {
        if self.uplink.as_ref().map(|(rate, _)| *rate) != spec.daemon.uplink {
            self.uplink = spec.daemon.uplink.map(|rate| (rate, Uplink::new(rate)));
        }
        self.pools.begin();
        self.folders.begin();
        self.guards.begin();
        self.fixed.clear();
        self.services.clear();
        let answers = self.answers.clone();
        let secure = spec.listeners.iter().filter(|listener| listener.tls == TlsPolicy::Sites);
        let mut table = RouteTable::new(TableOptions {
            beacon: self.nonce().map(str::to_owned),
            challenges: Some(Arc::new(move |token| answers.lookup(token))),
            https_port: secure.map(|listener| listener.address.port()).find(|port| *port != 0),
            trusted_proxies: spec.daemon.trusted_proxies.clone(),
            request_ids: true,
            strangers: Strangers::Quiet,
            dynamic: self.relay.as_ref().map(|(relay, _)| relay.hosts()),
        });
        for site in &spec.sites {
            self.connectors.lent = spec.tunnel.as_ref().is_some_and(|tunnel| tunnel.lends(&site.name));
            let routes = self.site(site, members).with_context(|| format!("site {}", site.name))?;
            table.add_site(routes)?;
        }
        Ok(table)
    }

    /// The table made last is in force: what only the one before needed can go.
    pub fn settle(&mut self) {
        self.pools.settle();
        self.folders.settle();
        self.guards.settle();
    }

    /// What answers for a site of the table made last.
    pub fn service(&self, site: &str) -> Option<Arc<dyn Service>> {
        self.services.get(site).cloned()
    }

    /// Pools of the table made last whose members the configuration names, and what each is called.
    pub fn fixed_pools(&self) -> impl Iterator<Item = (&str, &Arc<PoolService>)> {
        self.fixed.iter().map(|(name, pool)| (name.as_str(), pool))
    }

    /// Where an app's static files are from now on.
    pub fn set_static_files(&mut self, app: &AppName, files: Option<(String, PathBuf)>, says: &Says) {
        let place = self.statics.entry(app.clone()).or_default();
        let Some((path, folder)) = files else { return place.store(None) };
        let options = FileOptions { no_listing: true, ..FileOptions::default() };
        let path = path.trim_end_matches('/').to_owned();
        let filters = Filters { strip_prefix: Some(path.clone()), ..Filters::default() };
        let service = FolderService::open(&folder, &options).map_err(anyhow::Error::from);
        match service.and_then(|service| Ok(doorstep_filter::wrap(&filters, Arc::new(service))?)) {
            Ok(service) => place.store(Some(Arc::new((path, service)))),
            Err(error) => {
                let _ = says.send(FromWorker::Found(Found::new(
                    &Finding {
                        severity: Severity::Error,
                        blame: Blame::Environment,
                        id: "no-static-files",
                        what: format!("The static files of the app {app} cannot be served: {error}"),
                        why: "The app is asked for them instead.".to_owned(),
                        fix: String::new(),
                    },
                    0,
                )));
            }
        }
    }

    fn site(&mut self, site: &Site, members: &mut AppMembers) -> anyhow::Result<SiteRoutes> {
        let mut routes = Vec::new();
        for route in &site.routes {
            routes.push((route.matcher.clone(), self.route(&site.name, route, members)?));
        }
        // What holds for the site stands once in front of all its routes: a limit counts them together.
        let service = self.around(&site.name, &site.filters, &site.guards, Arc::new(Routes::new(routes)?))?;
        let service = match &self.uplink {
            Some((_, uplink)) => uplink.wrap(service),
            None => service,
        };
        let service = match &self.relay {
            Some((relay, _)) if site.answers_to(relay.registry.domain()) => relay.in_front_of(service),
            _ => service,
        };
        self.services.insert(site.name.clone(), service.clone());
        let mut routes = SiteRoutes::of(site, []);
        routes.routes = vec![(Matcher::any(), service)];
        Ok(routes)
    }

    fn route(&mut self, site: &str, route: &Route, members: &mut AppMembers) -> anyhow::Result<Arc<dyn Service>> {
        let service: Arc<dyn Service> = match &route.action {
            Action::Folder { root, options } => {
                let open = || Ok(Arc::new(FolderService::open(root, options)?));
                self.folders.get(&format!("{root:?} {options:?}"), open)?
            }
            Action::File { path, options } => Arc::new(FileService::open(path, options)?),
            Action::Spool { spool, name } => Arc::new(FileService::named(spool, name)?),
            Action::Proxy(proxy) => self.proxy(proxy.clone()),
            Action::Pool(pool) => self.pool(pool, members)?,
            Action::App { app, pool } => {
                let files = self.statics.entry(app.clone()).or_default().clone();
                Arc::new(AppService { files, pool: self.pool(pool, members)? })
            }
            Action::Redirect(redirect) => Arc::new(Redirect::new(redirect)?),
            Action::Respond(respond) => Arc::new(Respond::new(respond)?),
            Action::Maintenance(maintenance) => Arc::new(Maintenance::new(maintenance)),
        };
        self.around(&format!("{site} {:?}", route.matcher), &route.filters, &route.guards, service)
    }

    fn around(
        &mut self,
        place: &str,
        filters: &Filters,
        guards: &Guards,
        service: Arc<dyn Service>,
    ) -> anyhow::Result<Arc<dyn Service>> {
        let auth = guards
            .forward_auth
            .as_ref()
            .map(|auth| self.proxy(Proxy { upstream: auth.upstream.clone(), keep_host: false }));
        let guard = |service| self.guards.around(place, guards, service, auth);
        Ok(doorstep_filter::wrap_guarded(filters, service, guard)?)
    }

    fn proxy(&self, proxy: Proxy) -> Arc<dyn Service> {
        Arc::new(ReverseProxy::new(proxy, self.connectors.get(), self.telemetry.clone()))
    }

    fn pool(&mut self, pool: &Pool, members: &mut AppMembers) -> anyhow::Result<Arc<PoolService>> {
        let membership = match &pool.members {
            Members::App(app) => Some(members.of(app)),
            Members::Fixed(_) => None,
        };
        let (connector, telemetry) = (self.connectors.get(), self.telemetry.clone());
        let checked = self.pools.get(&format!("{} {pool:?}", self.connectors.lent), || {
            let membership = membership.unwrap_or_else(|| match &pool.members {
                Members::Fixed(fixed) => Membership::fixed(fixed),
                Members::App(_) => Membership::new(),
            });
            let service = Arc::new(PoolService::new(pool, membership, connector, telemetry));
            let checks = tokio::spawn(service.clone().check_health());
            Ok(Arc::new(CheckedPool { service, checks }))
        })?;
        let service = checked.service.clone();
        if matches!(pool.members, Members::Fixed(_)) {
            self.fixed.push((pool.name.clone(), service.clone()));
        }
        Ok(service)
    }
}

/// An app, its framework's static files in front of it.
struct AppService {
    files: StaticFiles,
    pool: Arc<PoolService>,
}

impl Service for AppService {
    fn call<'a>(&'a self, request: Request) -> BoxFuture<'a, Response> {
        let files = self.files.load();
        if let Some(files) = files.as_deref()
            && let Some(rest) = request.path.strip_prefix(&files.0)
            && rest.starts_with('/')
        {
            let service = files.1.clone();
            return Box::pin(async move { service.call(request).await });
        }
        self.pool.call(request)
    }
}
