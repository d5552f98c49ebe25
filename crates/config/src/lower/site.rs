//! Sites.

use std::collections::HashMap;

use doorstep_model::{
    App, CertificateSource, HostPattern, HostPolicy, Hostname, HttpsPolicy, Matcher, PemPair, Route, Secret, Site,
};

use super::action::{self, Action};
use super::{filters, guards, route};
use crate::context::Context;
use crate::text::host;
use crate::tree::{Entry, Place, Table};

/// All sites, in the order of the file.
pub(super) fn sites(context: &mut Context<'_>, file: &Table, apps: &[App]) -> Vec<Site> {
    let mut names = Names::default();
    let mut sites = Vec::new();
    let entries: Vec<&Entry> = file.table("site").into_iter().flat_map(Table::iter).collect();
    // Names first, so that an alias of one site never hides the name of a later one.
    let patterns: Vec<Option<HostPattern>> = entries
        .iter()
        .map(|entry| {
            let pattern = host::pattern(&entry.key).ok().filter(|_| entry.key != host::DEFAULT)?;
            names.claim(context, &pattern, &entry.place);
            Some(pattern)
        })
        .collect();
    for (entry, pattern) in entries.iter().zip(patterns) {
        if let Some(table) = entry.node.table() {
            sites.push(site(context, entry, table, pattern, &mut names, apps));
        }
    }
    sites
}

/// Which names are taken, and where.
#[derive(Default)]
struct Names(HashMap<HostPattern, Place>);

impl Names {
    fn claim(&mut self, context: &mut Context<'_>, pattern: &HostPattern, place: &Place) -> bool {
        if let Some(first) = self.0.get(pattern) {
            context
                .error("name-taken", place, format!("two sites answer to the name `{pattern}`"))
                .label("again")
                .also(first, "the first");
            return false;
        }
        self.0.insert(pattern.clone(), place.clone());
        true
    }
}

fn site(
    context: &mut Context<'_>,
    entry: &Entry,
    table: &Table,
    pattern: Option<HostPattern>,
    names: &mut Names,
    apps: &[App],
) -> Site {
    let name = pattern.as_ref().map_or_else(|| host::DEFAULT.to_owned(), HostPattern::to_string);
    let aliases = aliases(context, entry, table, pattern.as_ref(), names);
    let serve = table.bool("serve_aliases").unwrap_or(false);
    let (mut served, redirect_from) = if serve { (aliases, Vec::new()) } else { (Vec::new(), aliases) };
    let is_default = pattern.is_none();
    let hosts = match pattern {
        None => HostPolicy::Any,
        Some(pattern) => {
            served.insert(0, pattern);
            HostPolicy::Names(served)
        }
    };
    let mut site = Site::new(&name, hosts, Vec::new());
    site.redirect_from = redirect_from;
    site.certificate = certificate(context, table, is_default);
    site.https = https(context, table, &site.certificate);
    site.client_ca = table
        .get("client_ca")
        .and_then(|node| context.pem(node, "CERTIFICATE"))
        .map(|chain| PemPair { chain, key: None });
    if let (Some(entry), CertificateSource::None) = (table.entry("client_ca"), &site.certificate) {
        context
            .error("client-ca-without-tls", &entry.place, "`client_ca` needs HTTPS, which this site does not have")
            .help("certificate = \"local\"");
    }
    site.guards = guards::guards(context, table, &name);
    site.filters = filters::filters(context, table, &(0, Vec::new()));
    site.access_log = table.bool("access_log").unwrap_or(true);
    site.routes = routes(context, entry, table, apps);
    site
}

fn aliases(
    context: &mut Context<'_>,
    entry: &Entry,
    table: &Table,
    pattern: Option<&HostPattern>,
    names: &mut Names,
) -> Vec<HostPattern> {
    let mut aliases = Vec::new();
    if pattern.is_none() {
        for key in ["aliases", "www", "serve_aliases"] {
            if let Some(entry) = table.entry(key) {
                context
                    .error("alias-of-default", &entry.place, "the site `default` answers every name already")
                    .help(format!("leave `{key}` out, or give the site a name"));
            }
        }
        return aliases;
    }
    for node in table.each("aliases") {
        if let Some(alias) = node.text().and_then(|text| host::pattern(text).ok())
            && names.claim(context, &alias, &node.place)
        {
            aliases.push(alias);
        }
    }
    if table.bool("www") == Some(true) {
        let place = table.entry("www").map_or(&entry.place, |entry| &entry.place);
        match pattern {
            Some(HostPattern::Exact(name)) if !name.as_str().starts_with("www.") => {
                let www = format!("www.{name}").parse::<Hostname>().ok().map(HostPattern::Exact);
                if let Some(www) = www.filter(|www| names.claim(context, www, place)) {
                    aliases.push(www);
                }
            }
            _ => {
                context.error("bad-www", place, "there is no name with `www.` in front of this one");
            }
        }
    }
    aliases
}

/// Where the certificate of a site, or of the relay, comes from.
pub(super) fn certificate(context: &mut Context<'_>, table: &Table, is_default: bool) -> CertificateSource {
    let Some(node) = table.get("certificate") else {
        return if is_default { CertificateSource::None } else { CertificateSource::Auto };
    };
    if let Some(files) = node.table() {
        let chain = files.get("chain").and_then(|node| context.pem(node, "CERTIFICATE"));
        let key = files.get("key").and_then(|node| {
            let pem = context.pem(node, "PRIVATE KEY")?;
            if context.read(&pem.path).is_ok_and(|(_, world_readable)| world_readable) {
                context
                    .warning("readable-secret", &node.place, "anybody on this computer can read this private key")
                    .help(format!("chmod 600 {}", pem.path.display()));
            }
            Some(Secret::new(pem))
        });
        return match (chain, key) {
            (Some(chain), Some(key)) => CertificateSource::Files(PemPair { chain, key: Some(key) }),
            _ => CertificateSource::Auto,
        };
    }
    match node.text() {
        Some("none") => CertificateSource::None,
        Some("local") => CertificateSource::Local,
        _ if is_default => {
            context
                .error(
                    "nameless-certificate",
                    &node.place,
                    "the site `default` has no name that a certificate could be for",
                )
                .help("certificate = \"local\", or a site for each name");
            CertificateSource::None
        }
        _ => CertificateSource::Auto,
    }
}

fn https(context: &mut Context<'_>, table: &Table, certificate: &CertificateSource) -> HttpsPolicy {
    let without = *certificate == CertificateSource::None;
    match table.text("https") {
        Some("redirect") if without => {
            if let Some(entry) = table.entry("https") {
                context
                    .error(
                        "https-without-certificate",
                        &entry.place,
                        "there is no HTTPS to redirect to: the site has no certificate",
                    )
                    .help("certificate = \"local\", or leave `https` out");
            }
            HttpsPolicy::Optional
        }
        Some("optional") => HttpsPolicy::Optional,
        None if without => HttpsPolicy::Optional,
        _ => HttpsPolicy::Redirect,
    }
}

/// The routes, and behind them the site's own action; before all of them its maintenance page.
fn routes(context: &mut Context<'_>, entry: &Entry, table: &Table, apps: &[App]) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut own = None;
    match action::action(context, table, apps, &(0, Vec::new())) {
        Action::Some(action) => own = Some(Route::new(Matcher::any(), *action)),
        Action::Bad => {}
        // A key that nobody knows is probably the answer.
        Action::None if table.has("route") || table.entries.iter().any(|entry| entry.node.bad) => {}
        Action::None => {
            context
                .error("nothing-to-answer", &entry.place, format!("nothing says what `{}` answers", entry.key))
                .note("one of root, file, proxy, app, redirect, respond, maintenance or a list of routes is needed")
                .help("root = \"public\"");
        }
    }
    if let Some(maintenance) = own.take_if(|route| matches!(route.action, doorstep_model::Action::Maintenance(_))) {
        routes.push(maintenance);
    }
    for node in table.each("route") {
        if let Some(route) = node.table() {
            routes.extend(route::routes(context, node, route, apps, &entry.key));
        }
    }
    routes.extend(own);
    routes
}
