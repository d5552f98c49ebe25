use std::sync::Arc;

use doorstep_http::limits::Limits;
use doorstep_http::{Engine, Observer, RouteTable, SiteRoutes, TableOptions};
use doorstep_model::{HostPattern, HostPolicy, Hostname};
use doorstep_net::{BoxFuture, Conn, Drain, Handler};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::limits::LENT_UNNAMED;

use crate::limits::LENT_NAMES;

/// A site as visitors of a tunnel see it: the same services, under the names that were granted and no others. It listens
/// nowhere, so no web page of another site can get to it by a name that it makes lead here.
pub struct LentSite {
    engine: Engine,
    state: Mutex<State>,
    /// Whether it has a name.
    named: watch::Sender<bool>,
}

struct State {
    options: TableOptions,
    site: SiteRoutes,
    hosts: HostPolicy,
}

impl LentSite {
    /// `any_name` where the way has none of its own, because visitors come to a port.
    pub fn new(site: SiteRoutes, options: TableOptions, any_name: bool, observer: Arc<dyn Observer>) -> Self {
        let hosts = if any_name { HostPolicy::Any } else { HostPolicy::Names(Vec::new()) };
        let state = State { options, site, hosts };
        let engine = Engine::new(state.table(), observer, Limits::default());
        Self { engine, state: Mutex::new(state), named: watch::Sender::new(any_name) }
    }

    /// Visitors reach it at `address`, an URL, from now on.
    pub fn answers_at(&self, address: &str) {
        let Some(name) = host_of(address).and_then(|host| host.parse::<Hostname>().ok()) else { return };
        let mut state = self.state.lock();
        let HostPolicy::Names(names) = &mut state.hosts else { return };
        let pattern = HostPattern::Exact(name);
        if !names.contains(&pattern) {
            if names.len() >= LENT_NAMES {
                names.remove(0);
            }
            names.push(pattern);
            self.engine.set_routes(state.table());
            self.named.send_replace(true);
        }
    }

    /// Has other routes from the next request on; the names stay.
    pub fn set_site(&self, site: SiteRoutes, options: TableOptions) {
        let mut state = self.state.lock();
        state.site = site;
        state.options = options;
        self.engine.set_routes(state.table());
    }
}

impl State {
    fn table(&self) -> RouteTable {
        let mut table = RouteTable::new(self.options.clone());
        let site = &self.site;
        let routes = SiteRoutes {
            name: site.name.clone(),
            hosts: self.hosts.clone(),
            redirect_from: Vec::new(),
            https: site.https,
            client_auth: site.client_auth,
            routes: site.routes.clone(),
        };
        // Its matchers were compiled once when the site was made.
        let _ = table.add_site(routes);
        table
    }
}

impl Handler for LentSite {
    fn handle(&self, conn: Conn, drain: Drain) -> BoxFuture<'_, ()> {
        if *self.named.borrow() {
            return self.engine.handle(conn, drain);
        }
        // A relay lets visitors in at once, and may say only then under which name.
        Box::pin(async move {
            let _ = timeout(LENT_UNNAMED, self.named.subscribe().wait_for(|named| *named)).await;
            self.engine.handle(conn, drain).await;
        })
    }
}

/// The host in an address such as `https://blog.tun.example.com:8443/x`.
pub fn host_of(address: &str) -> Option<&str> {
    let rest = address.split_once("://")?.1;
    let authority = rest.split('/').next()?;
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    }
}

#[cfg(test)]
mod tests {
    use doorstep_http::NoObserver;

    use super::*;

    #[test]
    fn the_names_that_it_answers_to_are_bounded() {
        let routes = SiteRoutes::new(HostPolicy::Any, Vec::new());
        let site = LentSite::new(routes, TableOptions::default(), false, Arc::new(NoObserver));
        for number in 0..LENT_NAMES + 3 {
            site.answers_at(&format!("https://a{number}.tun.example.com"));
            site.answers_at("https://a3.tun.example.com");
        }
        let state = site.state.lock();
        let HostPolicy::Names(names) = &state.hosts else { panic!() };
        let first = HostPattern::Exact("a0.tun.example.com".parse().unwrap());
        assert!(names.len() == LENT_NAMES && !names.contains(&first), "{names:?}");
    }
}
