//! Listeners, logs, and doorstep itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use doorstep_model::{
    AccessLogSpec, ByteRate, CertificateSource, Daemon, Deadlines, Listener, LogFormat, LogTarget, Site, TlsPolicy,
};

use super::{app, guards};
use crate::context::Context;
use crate::text::address;
use crate::tree::{Node, Table};

/// Where doorstep listens: as the file says, else on the usual ports, or on 8080 and 8443 without the right to these.
/// A relay is reached by HTTPS, whatever sites there are.
pub(super) fn listeners(context: &mut Context<'_>, file: &Table, sites: &[Site], relay: bool) -> Vec<Listener> {
    let table = file.table("listen");
    let low = context.privileges.low_ports;
    let (http, https) = if low { (80, 443) } else { (8080, 8443) };
    let tls = relay || sites.iter().any(|site| site.certificate != CertificateSource::None);
    let mut listeners: Vec<Listener> = Vec::new();
    let proxy_from = table.map(|table| table.networks("proxy_from")).unwrap_or_default();
    let max_connections = table.and_then(|table| table.number("max_connections"));
    for (key, default, policy, wanted) in
        [("http", http, TlsPolicy::Plain, true), ("https", https, TlsPolicy::Sites, tls)]
    {
        let said = table.and_then(|table| table.entry(key));
        let addresses: Vec<(SocketAddr, Option<&Node>)> = match said {
            Some(entry) => entry
                .node
                .each()
                .filter_map(|node| Some((address::listen(node.text()?).ok()?, node)))
                .flat_map(|(addresses, node)| addresses.into_iter().map(move |address| (address, Some(node))))
                .collect(),
            None if wanted => address::everywhere(default).into_iter().map(|address| (address, None)).collect(),
            None => Vec::new(),
        };
        for (address, node) in addresses {
            let taken = address.port() != 0 && listeners.iter().any(|known| known.address == address);
            if let (true, Some(node)) = (taken, node) {
                context.error("said-twice", &node.place, format!("{address} is listened on already"));
                continue;
            }
            listeners.push(Listener {
                address,
                tls: policy.clone(),
                max_connections,
                proxy_from: proxy_from.clone(),
                map: false,
            });
        }
    }
    if let (true, Some(entry)) =
        (listeners.is_empty() && !context.has_errors() && !file.has("tunnel"), file.entry("listen"))
    {
        context.error("no-listener", &entry.place, "doorstep would listen nowhere").help("http = \":8080\"");
    }
    listeners
}

/// `[daemon]` and `[log]`.
pub(super) fn daemon(context: &mut Context<'_>, file: &Table) -> Daemon {
    let mut daemon = Daemon { access_logs: access_logs(context, file), ..Daemon::default() };
    let Some(table) = file.table("daemon") else { return daemon };
    daemon.state = table.get("state").and_then(|node| Some(context.path(node, node.text()?)));
    if let Some(user) = table.text("user") {
        user.clone_into(&mut daemon.user);
    }
    if let (Some(node), "root") = (table.get("user"), daemon.user.as_str()) {
        context
            .error("worker-as-root", &node.place, "what talks to the network does not run as root")
            .help("user = \"doorstep\"");
    }
    daemon.workers = table.number("workers");
    let default = Deadlines::default();
    daemon.deadlines = Deadlines {
        stop: table.duration("stop_within").unwrap_or(default.stop),
        handover: table.duration("handover_within").unwrap_or(default.handover),
    };
    daemon.metrics = table.text("metrics").and_then(|text| address::one(text).ok());
    daemon.trusted_proxies = table.networks("trusted_proxies");
    daemon.uplink = table.get("uplink").and_then(|node| {
        let rate = guards::byte_rate(context, node)?;
        // Alone it is the line that everybody shares.
        let alone = node.text().is_some();
        Some(if alone { ByteRate { per_client: u64::MAX, total: rate.per_client } } else { rate })
    });
    daemon.sandbox = table.bool("sandbox").unwrap_or(true);
    daemon
}

fn access_logs(context: &mut Context<'_>, file: &Table) -> Vec<AccessLogSpec> {
    let mut logs: Vec<AccessLogSpec> = Vec::new();
    for node in file.table("log").into_iter().flat_map(|table| table.each("access")) {
        let options = node.table();
        let Some(to) = options.map_or(Some(node), |table| table.get("to")) else { continue };
        let format = match options.and_then(|table| table.text("format")) {
            Some("json") => LogFormat::Json,
            _ => LogFormat::Combined,
        };
        let rotation = app::rotation(options);
        let Some(text) = to.text() else { continue };
        let target = match text {
            "stdout" => LogTarget::Stdout,
            // A relative one is in the log folder: the worker, which writes it, may not write beside the configuration.
            text => LogTarget::File { path: PathBuf::from(text), rotation },
        };
        if logs.iter().any(|log| path(&log.target) == path(&target)) {
            context.error("said-twice", &to.place, format!("`{}` is written to already", to.raw()));
        }
        logs.push(AccessLogSpec { format, target });
    }
    logs
}

fn path(target: &LogTarget) -> Option<&PathBuf> {
    match target {
        LogTarget::Stdout => None,
        LogTarget::File { path, .. } => Some(path),
    }
}
