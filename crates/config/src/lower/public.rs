//! `[public]`: ports of the router, and names that follow this computer's address.

use std::time::Duration;

use doorstep_model::{DynamicDns, HostPattern, HostPolicy, Hostname, Issuance, Listener, Site};

use crate::context::Context;
use crate::text::host;
use crate::tree::{Entry, Table, Value};

const TTL: Duration = Duration::from_secs(60);

/// Which of the listeners the router is asked for.
pub(super) fn map(context: &mut Context<'_>, file: &Table, listeners: &mut [Listener]) {
    let Some(entry) = file.table("public").and_then(|table| table.entry("map")) else { return };
    let outward = |listener: &&mut Listener| !listener.address.ip().is_loopback();
    match &entry.node.value {
        Value::Bool(wanted) => {
            listeners.iter_mut().filter(outward).for_each(|listener| listener.map = *wanted);
            if *wanted && !listeners.iter().any(|listener| listener.map) && !context.has_errors() {
                context
                    .error("nothing-to-map", &entry.place, "doorstep listens nowhere that a router could lead to")
                    .help("listen = { http = \":80\", https = \":443\" }");
            }
        }
        _ => {
            for node in entry.node.each() {
                let Some(port) = node.integer().and_then(|port| u16::try_from(port).ok()) else { continue };
                let mut found = false;
                for listener in listeners.iter_mut().filter(outward).filter(|one| one.address.port() == port) {
                    (listener.map, found) = (true, true);
                }
                if !found && !context.has_errors() {
                    context
                        .error(
                            "nothing-to-map",
                            &node.place,
                            format!("doorstep does not listen on port {port} beyond this computer"),
                        )
                        .help(format!("listen = {{ http = \":{port}\" }}"));
                }
            }
        }
    }
}

/// The names that are to be kept.
pub(super) fn names(context: &mut Context<'_>, file: &Table, issuance: &Issuance, sites: &[Site]) -> Vec<DynamicDns> {
    let Some(table) = file.table("public") else { return Vec::new() };
    // Also where no names are given: a key that is read has been understood.
    let families = (table.bool("ipv4").unwrap_or(true), table.bool("ipv6").unwrap_or(true));
    let ttl = table.duration("ttl").unwrap_or(TTL);
    let Some(entry) = table.entry("names") else { return Vec::new() };
    let names = match &entry.node.value {
        Value::Bool(false) => return Vec::new(),
        Value::Bool(true) => of_sites(context, entry, sites),
        _ => entry.node.each().filter_map(|node| node.text()?.parse().ok()).collect(),
    };
    if families == (false, false) {
        context
            .error("no-address", &entry.place, "names without an IPv4 and without an IPv6 address lead nowhere")
            .help("ipv4 = true");
    }
    let Some(provider) = &issuance.dns else {
        if !file.has("dns") {
            context
                .error("no-dns-provider", &entry.place, "nothing says who can be told where these names lead")
                .help("dns = { provider = \"desec\", token = \"file:desec.txt\" }");
        }
        return Vec::new();
    };
    vec![DynamicDns { provider: provider.clone(), names, ttl, ipv4: families.0, ipv6: families.1 }]
}

/// Every name of the internet that sites have, each once.
fn of_sites(context: &mut Context<'_>, entry: &Entry, sites: &[Site]) -> Vec<Hostname> {
    let mut names: Vec<Hostname> = Vec::new();
    for site in sites {
        let own: &[HostPattern] = if let HostPolicy::Names(names) = &site.hosts { names } else { &[] };
        for pattern in own.iter().chain(&site.redirect_from).filter(|pattern| !host::is_local(pattern)) {
            if let HostPattern::Exact(name) = pattern
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
    }
    if names.is_empty() && !context.has_errors() {
        context
            .error("no-names", &entry.place, "no site has a name that could be kept: there is none of the internet")
            .help("names = [\"home.example.com\"]");
    }
    names
}
