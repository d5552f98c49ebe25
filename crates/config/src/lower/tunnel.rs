//! `[tunnel]`, and `tunnel` of sites.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use doorstep_model::{HostPattern, HostPolicy, Lent, Pem, Secret, Site, SshFiles, Tunnel, UpstreamAddr, Via, WebLent};

use crate::context::Context;
use crate::text::{host, place};
use crate::tree::{Entry, Node, Place, Table};

/// What is lent, and by whom the address is.
pub(super) fn tunnel(context: &mut Context<'_>, file: &Table, sites: &[Site]) -> Option<Tunnel> {
    let Some(entry) = file.entry("tunnel") else {
        without_tunnel(context, file);
        return None;
    };
    let table = entry.node.table()?;
    let vias = vias(context, table);
    let identities = identities(context, table, &vias);
    let kite_secret = table.text("kite_secret").map(|text| Secret::new(text.to_owned()));
    let kites = vias.iter().find(|(via, _)| matches!(via, Via::PageKite { .. }));
    if let (Some((_, node)), None) = (kites, table.entry("kite_secret")) {
        context
            .error("kite-without-secret", &node.place, "a kite flies with a secret only")
            .help("kite_secret = \"file:kite.txt\"");
    }
    let ssh = ssh(context, table, &vias);
    let mut lent = webs(context, file, table, sites, &vias);
    for node in table.each("tcp") {
        lent.extend(node.table().and_then(|table| tcp(context, table)));
    }
    for node in table.each("udp") {
        lent.extend(node.table().and_then(|table| udp(context, table)));
    }
    same_port_twice(context, table);
    if lent.is_empty() && !context.has_errors() {
        context
            .error("nothing-lent", &entry.place, "nothing is lent: there is no site, and no port")
            .help("tcp = [{ to = \"localhost:22\" }]");
    }
    let vias = vias.into_iter().map(|(via, _)| via).collect();
    Some(Tunnel { vias, identities, kite_secret, ssh, lent })
}

/// A site that is to be lent, and nobody who lends.
fn without_tunnel(context: &mut Context<'_>, file: &Table) {
    for site in file.table("site").into_iter().flat_map(Table::iter) {
        let Some(entry) = site.node.table().and_then(|table| table.entry("tunnel")) else { continue };
        if entry.node.bool() != Some(false) {
            context
                .error("tunnel-without-via", &entry.place, "nothing says who lends the address")
                .help("tunnel = { via = \"tun.example.com\" }");
        }
    }
}

fn vias<'t>(context: &mut Context<'_>, table: &'t Table) -> Vec<(Via, &'t Node)> {
    let mut vias: Vec<(Via, &Node)> = Vec::new();
    for node in table.each("via") {
        let Some(via) = node.text().and_then(|text| text.parse::<Via>().ok()) else { continue };
        if vias.iter().any(|(known, _)| *known == via) {
            context.error("said-twice", &node.place, format!("{via} is there twice"));
            continue;
        }
        vias.push((via, node));
    }
    vias
}

/// The file that makes this computer known to each relay.
fn identities(context: &mut Context<'_>, table: &Table, vias: &[(Via, &Node)]) -> Vec<(Via, Secret<Pem>)> {
    let named = table.get("identities").and_then(|node| Some(context.path(node, node.text()?)));
    let mut identities = Vec::new();
    for (via, node) in vias {
        let Via::Relay { host, .. } = via else { continue };
        // Which of them counts depends on who asks, and the files are read before that is known.
        let usual = [Some(PathBuf::from("/etc/doorstep/relays")), user_folder(context)];
        let paths: Vec<Option<PathBuf>> = match &named {
            Some(folder) => vec![Some(folder.clone())],
            None => usual.into(),
        };
        let read: Vec<_> = paths
            .into_iter()
            .map(|folder| {
                let path = folder?.join(format!("{host}.toml"));
                let read = context.read(&path);
                Some((path, read))
            })
            .collect();
        let at = if named.is_none() && !context.privileges.root { 1 } else { 0 };
        match read.into_iter().nth(at).flatten() {
            Some((path, Ok((text, world_readable)))) => {
                if world_readable {
                    context
                        .warning(
                            "readable-secret",
                            &node.place,
                            "anybody on this computer can read the key for this relay",
                        )
                        .help(format!("chmod 600 {}", path.display()));
                }
                identities.push((via.clone(), Secret::new(Pem { path, text: Arc::from(text) })));
            }
            Some((path, Err(reason))) if !reason.contains("no such file") => {
                context
                    .error("identity-unreadable", &node.place, format!("the key for {host} cannot be read: {reason}"))
                    .note(path.display().to_string());
            }
            _ => {
                context
                    .error("not-joined", &node.place, format!("this computer does not know {host} yet"))
                    .note("ask its owner for an invitation: `doorstep relay invite NAME` on the relay")
                    .help("doorstep join …, with the line that they send");
            }
        }
    }
    identities
}

/// `$XDG_CONFIG_HOME/doorstep/relays` (XDG Base Directory Specification).
fn user_folder(context: &mut Context<'_>) -> Option<PathBuf> {
    let absolute = |text: Option<&str>| text.map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute(context.variable("XDG_CONFIG_HOME"));
    let home = absolute(context.variable("HOME"));
    Some(config.or_else(|| Some(home?.join(".config")))?.join("doorstep/relays"))
}

fn ssh(context: &mut Context<'_>, table: &Table, vias: &[(Via, &Node)]) -> Option<SshFiles> {
    let (_, node) = vias.iter().find(|(via, _)| matches!(via, Via::Ssh { .. }))?;
    let known_hosts = known_hosts(context, table, node);
    let Some(named) = table.get("ssh_key") else {
        context
            .error("ssh-without-key", &node.place, "nobody is there to type a password: a key is needed")
            .note("ssh-keygen -t ed25519 -N '' -f ssh_key, and `ssh-copy-id -i ssh_key.pub …`")
            .help("ssh_key = \"ssh_key\"");
        return None;
    };
    let path = context.path(named, named.text()?);
    let (text, world_readable) = context.named_file(named, &path)?;
    if world_readable {
        context
            .warning("readable-secret", &named.place, "anybody on this computer can read this private key")
            .help(format!("chmod 600 {}", path.display()));
    }
    Some(SshFiles { key: Secret::new(Pem { path, text: Arc::from(text) }), known_hosts: known_hosts? })
}

/// Keys of ssh servers: without that of ours, anybody could pretend to be it.
fn known_hosts(context: &mut Context<'_>, table: &Table, via: &Node) -> Option<Pem> {
    let usual = PathBuf::from("/etc/ssh/ssh_known_hosts");
    if let Some(node) = table.get("known_hosts") {
        let path = context.path(node, node.text()?);
        let (text, _) = context.named_file(node, &path)?;
        return Some(Pem { path, text: Arc::from(text) });
    }
    match context.read(&usual) {
        Ok((text, _)) => Some(Pem { path: usual, text: Arc::from(text) }),
        Err(_) => {
            context
                .error("ssh-without-known-hosts", &via.place, "nothing says by which key the server is known")
                .note("ssh-keyscan HOST > known_hosts, and compare with what the server's owner says")
                .help("known_hosts = \"known_hosts\"");
            None
        }
    }
}

fn webs(context: &mut Context<'_>, file: &Table, table: &Table, sites: &[Site], vias: &[(Via, &Node)]) -> Vec<Lent> {
    let all_e2e = table.bool("e2e").unwrap_or(false);
    let names_lent = vias.iter().any(|(via, _)| matches!(via, Via::Relay { .. }));
    let entries = file.table("site").into_iter().flat_map(Table::iter).filter(|entry| entry.node.table().is_some());
    let mut taken: HashMap<String, Place> = HashMap::new();
    let mut lent = Vec::new();
    for (entry, site) in entries.zip(sites) {
        let Some(web) = web(context, entry, site, (all_e2e, names_lent)) else { continue };
        if !web.name.is_empty()
            && let Some(first) = taken.insert(web.name.clone(), entry.place.clone())
        {
            context
                .error("name-taken", &entry.place, format!("two sites are lent under the name `{}`", web.name))
                .label("again")
                .also(&first, "the first");
            continue;
        }
        lent.push(Lent::Web(web));
    }
    lent
}

fn web(context: &mut Context<'_>, entry: &Entry, site: &Site, (all_e2e, names_lent): (bool, bool)) -> Option<WebLent> {
    let said = entry.node.table()?.entry("tunnel");
    let node = said.map(|said| &said.node);
    if node.is_some_and(|node| node.bad || node.bool() == Some(false)) {
        return None;
    }
    let options = node.and_then(Node::table);
    let named = node.and_then(Node::text).or_else(|| options?.text("name")).map(str::to_ascii_lowercase);
    let first = match &site.hosts {
        HostPolicy::Names(names) => names.first(),
        HostPolicy::Any | HostPolicy::Local { .. } => None,
    };
    let name = match (named, first) {
        (Some(name), _) => name,
        (None, Some(HostPattern::Wildcard(_))) => {
            if let Some(said) = said {
                context
                    .error(
                        "wildcard-lent",
                        &said.place,
                        format!("`{}` is not one name, and only such can be lent", site.name),
                    )
                    .help("tunnel = \"blog\"");
            }
            return None;
        }
        (None, Some(pattern @ HostPattern::Exact(name))) if names_lent && !host::is_local(pattern) => name.to_string(),
        (None, _) => String::new(),
    };
    let port = options.and_then(|table| table.number("port")).unwrap_or(0);
    let end_to_end = options.and_then(|table| table.bool("e2e")).unwrap_or(all_e2e);
    if end_to_end && name.is_empty() && names_lent {
        let place = said.map_or(&entry.place, |said| &said.place);
        context
            .error(
                "e2e-without-name",
                place,
                "a site whose TLS ends here is found by its name, and has none to be lent under",
            )
            .help("tunnel = { name = \"blog\", e2e = true }");
    }
    Some(WebLent { site: site.name.clone(), name, label: site.name.clone(), end_to_end, port })
}

fn tcp(context: &mut Context<'_>, table: &Table) -> Option<Lent> {
    let (host, port) = target(context, table)?;
    let proxy_header = table.bool("proxy_header").unwrap_or(false);
    Some(Lent::Tcp { to: UpstreamAddr::Tcp { host, port }, port: table.number("port").unwrap_or(0), proxy_header })
}

fn udp(context: &mut Context<'_>, table: &Table) -> Option<Lent> {
    let (host, port) = target(context, table)?;
    let ip = match host.as_str() {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        literal => match literal.parse() {
            Ok(ip) => ip,
            Err(_) => {
                let place = &table.entry("to")?.place;
                context
                    .error("udp-by-name", place, "datagrams go to an IP address, which does not change under them")
                    .help("to = \"127.0.0.1:51820\"");
                return None;
            }
        },
    };
    Some(Lent::Udp { to: SocketAddr::new(ip, port), port: table.number("port").unwrap_or(0) })
}

fn target(context: &mut Context<'_>, table: &Table) -> Option<(String, u16)> {
    let node = table.get("to")?;
    if let Some(port) = node.integer() {
        return Some(("localhost".to_owned(), u16::try_from(port).ok()?));
    }
    let (host, port) = place::parse(node.text()?).ok()?;
    if host.parse().is_ok_and(place::is_link_local) {
        context
            .error("never-lent", &node.place, format!("{host} is never lent"))
            .note("at such addresses computers of a cloud hand out their own keys");
        return None;
    }
    Some((host, port))
}

fn same_port_twice(context: &mut Context<'_>, table: &Table) {
    for key in ["tcp", "udp"] {
        let mut taken: HashMap<i64, Place> = HashMap::new();
        for node in table.each(key).filter_map(|node| node.table()?.get("port")) {
            let Some(port) = node.integer().filter(|port| *port != 0) else { continue };
            if let Some(first) = taken.insert(port, node.place.clone()) {
                context
                    .error("said-twice", &node.place, format!("port {port} is asked for twice"))
                    .label("again")
                    .also(&first, "the first");
            }
        }
    }
}
