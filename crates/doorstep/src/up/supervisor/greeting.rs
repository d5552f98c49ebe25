//! What a person reads when the daemon is up: the addresses, first of all.

use std::net::SocketAddr;

use doorstep_model::{
    Action, CertificateSource, HostPattern, HostPolicy, HttpsPolicy, RelaySpec, Site, Spec, TlsPolicy,
};
use serde_json::json;

use super::{Supervisor, configuration};
use crate::limits::GREETED_SITES;
use crate::up::link::{Socket, Start};
use crate::up::notify;

impl Supervisor {
    /// Says that everything is up, and where.
    pub(super) fn greet(&self, took_over: bool) {
        notify::ready();
        notify::status(&format!("{} sites, {} apps", self.spec.sites.len(), self.spec.apps.len()));
        let voice = &self.options.voice;
        let (apps, instances) = (self.spec.apps.len(), self.spec.apps.iter().map(|app| app.instances).sum::<u32>());
        if !took_over {
            let count =
                |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
            let mut text = format!("doorstep is up: {}", count(self.spec.sites.len(), "site", "sites"));
            if apps > 0 {
                text += &format!(
                    ", {} ({})",
                    count(apps, "app", "apps"),
                    count(instances as usize, "instance", "instances")
                );
            }
            let mut addresses = addresses(&self.spec, &self.sockets.addresses());
            if self.spec.listeners.is_empty() {
                // Everything comes by a tunnel, which says where when it is up.
                addresses.clear();
            }
            for (address, what) in addresses.iter().take(GREETED_SITES) {
                text += &format!("\n            {address:<40}  {what}");
            }
            if let Some(more) = addresses.len().checked_sub(GREETED_SITES).filter(|more| *more > 0) {
                text += &format!("\n            and {more} more: `doorstep status` has them all");
            }
            for (address, what) in self.spec.relay.iter().flat_map(|lends| relay(lends, self.https_port())) {
                text += &format!("\n            {address:<40}  {what}");
            }
            voice.say(&text);
        }
        let listening: Vec<String> = self.sockets.addresses().iter().map(|(_, bound)| bound.to_string()).collect();
        voice.event(&json!({
            "event": "up",
            "pid": std::process::id(),
            "listening": listening,
            "control": self.options.dirs.control(),
            "took_over": took_over,
        }));
    }

    /// Where names are visited by HTTPS.
    fn https_port(&self) -> Option<u16> {
        let mut secure = self.spec.listeners.iter().filter(|listener| listener.tls == TlsPolicy::Sites);
        let bound = self.sockets.addresses();
        secure.find_map(|listener| bound.iter().find(|(asked, _)| *asked == listener.address)).map(|(_, at)| at.port())
    }

    /// What a worker needs to begin.
    pub(super) fn start_message(&self, sockets: Vec<Socket>) -> Start {
        let dirs = &self.options.dirs;
        Start {
            protocol: crate::up::link::PROTOCOL,
            generation: self.generation,
            sources: self.sources.clone(),
            privileges: configuration::privileges(),
            sockets,
            state: dirs.state.clone(),
            run: dirs.run.clone(),
            logs: dirs.logs.clone(),
            user: self.options.worker_user,
        }
    }
}

/// What a relay lends, and by which ways agents come.
fn relay(relay: &RelaySpec, https: Option<u16>) -> Vec<(String, String)> {
    let domain = &relay.domain;
    let port = https.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    let mut lines =
        vec![(format!("https://ANY-NAME.{domain}{port}"), "lent to agents, who come by https, too".to_owned())];
    if !relay.ports.is_empty() {
        let ports = format!("{domain}:{}-{}", relay.ports.start(), relay.ports.end());
        lines.push((ports, "TCP and UDP ports, lent to agents".to_owned()));
    }
    if let Some(address) = relay.ssh.first() {
        lines.push((format!("ssh -p {} {domain}", address.port()), "for agents: ssh -R 80:localhost:8000".to_owned()));
    }
    if let Some(address) = relay.pagekite.iter().find_map(|kites| kites.listen.first()) {
        lines.push((format!("{domain}:{}", address.port()), "for back-ends of PageKite".to_owned()));
    }
    lines
}

/// Each site's address as a visitor types it, and what is there.
fn addresses(spec: &Spec, bound: &[(SocketAddr, SocketAddr)]) -> Vec<(String, String)> {
    let port = |tls: bool| {
        let mut of_kind = spec.listeners.iter().filter(|listener| (listener.tls == TlsPolicy::Sites) == tls);
        of_kind.find_map(|listener| bound.iter().find(|(asked, _)| *asked == listener.address)).map(|(_, at)| at.port())
    };
    let (plain, secure) = (port(false), port(true));
    let address = |site: &Site| {
        let https = site.certificate != CertificateSource::None && secure.is_some();
        let (scheme, port, usual) = match (https, site.https) {
            (true, HttpsPolicy::Redirect | HttpsPolicy::Optional) => ("https", secure, 443),
            (false, _) => ("http", plain, 80),
        };
        let port = port.filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}", host(site))
    };
    spec.sites.iter().map(|site| (address(site), content(site))).collect()
}

fn host(site: &Site) -> String {
    match &site.hosts {
        HostPolicy::Names(names) => match names.first() {
            Some(HostPattern::Wildcard(name)) => format!("ANYTHING.{name}"),
            Some(HostPattern::Exact(name)) => name.to_string(),
            None => site.name.clone(),
        },
        HostPolicy::Any => "ANY-OTHER-NAME".to_owned(),
        HostPolicy::Local { .. } => "localhost".to_owned(),
    }
}

/// What answers, in words.
pub fn content(site: &Site) -> String {
    let Some(route) = site.routes.last() else { return "nothing".to_owned() };
    let what = match &route.action {
        Action::Folder { root, .. } => format!("the folder {}", root.display()),
        Action::File { path, .. } => format!("the file {}", path.display()),
        Action::App { app, .. } => format!("the app {app}"),
        Action::Pool(pool) => pool.name.clone(),
        Action::Proxy(proxy) => proxy.upstream.authority.clone(),
        Action::Redirect(redirect) => format!("to {}", redirect.to.0),
        Action::Respond(_) => "a fixed answer".to_owned(),
        Action::Maintenance(_) => "closed for maintenance".to_owned(),
        Action::Spool { name, .. } => name.clone(),
    };
    match site.routes.len() {
        1 => what,
        2 => format!("{what}, and 1 more route"),
        more => format!("{what}, and {} more routes", more - 1),
    }
}
