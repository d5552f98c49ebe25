//! `[relay]`.

use std::net::SocketAddr;
use std::time::Duration;

use doorstep_model::{
    CertificateSource, HostPattern, HostPolicy, Hostname, Issuance, Listener, PageKiteSpec, RelayLimits, RelaySpec,
    Secret, Site, TlsPolicy,
};

use super::site;
use crate::context::Context;
use crate::text::{address, host, ports, quantity};
use crate::tree::{Node, Table};

/// How long requests wait for an agent where the file does not say.
const HOLD: Duration = Duration::from_secs(8);
/// The longest that they may be told to wait: browsers and proxies give up after some time.
const HOLD_MOST: Duration = Duration::from_secs(60);

pub(super) fn relay(context: &mut Context<'_>, file: &Table) -> Option<RelaySpec> {
    let entry = file.entry("relay")?;
    let table = entry.node.table()?;
    let domain = domain(context, table);
    let limits = table.table("limits").map(limits).unwrap_or_default();
    let ports = table.text("ports").and_then(|text| ports::range(text).ok()).unwrap_or(ports::DEFAULT);
    if let (true, Some(entry)) = (ports.is_empty() && table.has("limits"), limits_of_ports(table)) {
        context
            .warning("no-ports", &entry, "no ports are lent, so nobody gets as many")
            .help("ports = \"20000-29999\"");
    }
    let certificate = match table.entry("certificate") {
        Some(_) => site::certificate(context, table, false),
        None => CertificateSource::Auto,
    };
    let hold = table.duration("hold").unwrap_or(HOLD);
    if let (true, Some(node)) = (hold > HOLD_MOST, table.get("hold")) {
        context
            .error("out-of-range", &node.place, "requests cannot be held for longer than a minute")
            .note("browsers give up at some time, and whoever waits takes memory")
            .help("hold = \"8s\"");
    }
    let ssh = sockets(context, table, "ssh");
    let pagekite = table.table("pagekite").and_then(|table| pagekite(context, table, domain.as_ref()));
    Some(RelaySpec {
        domain: domain?,
        ports,
        certificate,
        ssh,
        pagekite,
        abuse: table.text("abuse").map(str::to_owned),
        noindex: table.bool("noindex").unwrap_or(true),
        probe: table.bool("probe").unwrap_or(true),
        limits,
        hold,
    })
}

/// What does not fit together with the rest of the file.
pub(super) fn check(
    context: &mut Context<'_>,
    file: &Table,
    (relay, issuance): (&RelaySpec, &Issuance),
    sites: &[Site],
    listeners: &[Listener],
) {
    let Some(entry) = file.entry("relay") else { return };
    let Some(table) = entry.node.table() else { return };
    let wild = HostPattern::Wildcard(relay.domain.clone());
    let hides = |site: &&Site| {
        let HostPolicy::Names(names) = &site.hosts else { return false };
        names.iter().chain(&site.redirect_from).any(|name| *name == wild)
    };
    if let Some(site) = sites.iter().find(hides) {
        let message = format!("the site `{}` would answer for every name that is lent", site.name);
        context.error("relay-hidden", &entry.place, message).help("a site for each name that is not to be lent");
    }
    if !listeners.iter().any(|listener| listener.tls == TlsPolicy::Sites) && !context.has_errors() {
        context
            .error("relay-without-https", &entry.place, "agents come by TLS, and doorstep listens nowhere for it")
            .help("listen = { https = \":443\" }");
    }
    let elsewhere = relay.ssh.iter().chain(relay.pagekite.iter().flat_map(|kites| &kites.listen));
    let mut known: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
    for address in elsewhere {
        if known.contains(address) {
            context.error("said-twice", &entry.place, format!("{address} is listened on for two purposes"));
            break;
        }
        known.push(*address);
    }
    if let Some(address) = known.iter().find(|address| relay.ports.contains(&address.port())) {
        let (port, first, last) = (address.port(), relay.ports.start(), relay.ports.end());
        let place = table.entry("ports").map_or(&entry.place, |entry| &entry.place);
        context
            .error("port-lent", place, format!("port {port} is doorstep's own and cannot be lent"))
            .help(format!("leave it out of {first}-{last}"));
    }
    if relay.certificate == CertificateSource::Auto
        && issuance.dns.is_none()
        && host::is_local(&HostPattern::Exact(relay.domain.clone()))
    {
        context
            .warning("relay-local", &entry.place, format!("nobody else can look `{}` up", relay.domain))
            .note(
                "its certificates are of this computer's own authority, which agents and visitors would have to trust",
            )
            .help("a name that the DNS knows");
    }
}

fn domain(context: &mut Context<'_>, table: &Table) -> Option<Hostname> {
    let node = table.get("domain")?;
    let domain: Hostname = node.text()?.parse().ok()?;
    let why = if doorstep_model::ip_literal(domain.as_str()).is_some() {
        "an address has no names beneath it"
    } else if !domain.as_str().contains('.') && domain.as_str() != "localhost" {
        "a name of one part is not a domain of yours"
    } else {
        return Some(domain);
    };
    context
        .error("bad-domain", &node.place, format!("no names can be lent beneath `{}`: {why}", node.raw()))
        .help("domain = \"tun.example.com\"");
    None
}

fn limits(table: &Table) -> RelayLimits {
    let default = RelayLimits::default();
    RelayLimits {
        names: table.number("names").unwrap_or(default.names),
        ports: table.number("ports").unwrap_or(default.ports),
        streams: table.number("streams").unwrap_or(default.streams),
        requests: table.text("requests").and_then(per_second),
        bandwidth: table.bandwidth("bandwidth"),
    }
}

/// A rate in whole requests per second: at least one.
fn per_second(text: &str) -> Option<u32> {
    let rate = quantity::request_rate(text).ok()?;
    let seconds = u32::try_from(rate.per.as_secs()).unwrap_or(u32::MAX).max(1);
    Some(rate.requests.div_ceil(seconds).max(1))
}

fn limits_of_ports(table: &Table) -> Option<crate::tree::Place> {
    let ports = table.table("limits")?.entry("ports")?;
    (ports.node.integer() != Some(0)).then(|| ports.place.clone())
}

fn pagekite(context: &mut Context<'_>, table: &Table, domain: Option<&Hostname>) -> Option<PageKiteSpec> {
    let listen = sockets(context, table, "listen");
    let mut kites = Vec::new();
    for entry in table.table("kite").into_iter().flat_map(Table::iter) {
        let (Ok(pattern), Some(secret)) = (host::pattern(&entry.key), entry.node.text()) else { continue };
        if secret.trim().is_empty() {
            context.error("bad-secret", &entry.node.place, "an empty secret is none");
        }
        let (HostPattern::Exact(name) | HostPattern::Wildcard(name)) = &pattern;
        if domain.is_some_and(|domain| name == domain) {
            context
                .error("relay-hidden", &entry.place, "this would be the relay's own name, or every name beneath it")
                .help("a name beneath it for each kite");
        }
        kites.push((pattern, Secret::new(secret.to_owned())));
    }
    Some(PageKiteSpec { listen, kites })
}

/// Addresses under `key`; a port alone is that of every address.
fn sockets(context: &mut Context<'_>, table: &Table, key: &str) -> Vec<SocketAddr> {
    let mut sockets: Vec<SocketAddr> = Vec::new();
    let addresses = |node: &Node| match node.integer() {
        Some(port) => u16::try_from(port).map(address::everywhere).ok(),
        None => address::listen(node.text()?).ok(),
    };
    for node in table.each(key) {
        for address in addresses(node).unwrap_or_default() {
            if sockets.contains(&address) {
                context.error("said-twice", &node.place, format!("{address} is listened on already"));
                continue;
            }
            sockets.push(address);
        }
    }
    sockets
}
