//! How certificates are obtained.

use std::collections::BTreeMap;

use doorstep_model::{
    CertificateSource, ChallengeKind, DNS_PROVIDERS, DnsKind, DnsProvider, ExternalAccount, HostPattern, HostPolicy,
    Issuance, Issuer, Secret, Site,
};

use crate::context::Context;
use crate::suggest::nearest;
use crate::text::host;
use crate::tree::{Node, Table, Value};

const LETSENCRYPT: (&str, &str) = ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory");
const STAGING: (&str, &str) = ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory");

/// Issuers, challenges and the DNS provider.
pub(super) fn issuance(context: &mut Context<'_>, file: &Table) -> Issuance {
    let mut issuers: Vec<Issuer> = Vec::new();
    for node in file.each("issuers") {
        let Some(issuer) = issuer(context, node) else { continue };
        if issuers.iter().any(|known| known.name == issuer.name) {
            context
                .error("said-twice", &node.place, format!("two issuers have the name `{}`", issuer.name))
                .help("give one of them another `name`");
        }
        issuers.push(issuer);
    }
    if issuers.is_empty() {
        issuers.push(known(LETSENCRYPT));
    }
    let challenges: Vec<ChallengeKind> = file
        .texts("challenges")
        .iter()
        .filter_map(|name| match name.as_str() {
            "http-01" => Some(ChallengeKind::Http01),
            "tls-alpn-01" => Some(ChallengeKind::TlsAlpn01),
            "dns-01" => Some(ChallengeKind::Dns01),
            _ => None,
        })
        .collect();
    let dns = file.table("dns").and_then(|table| dns(context, file, table));
    if let (true, None, Some(entry)) =
        (challenges == [ChallengeKind::Dns01], &dns, file.entry("challenges").filter(|_| !file.has("dns")))
    {
        context
            .error("no-dns-provider", &entry.place, "`dns-01` needs somewhere to put TXT records")
            .help("dns = { provider = \"desec\", token = \"file:desec.txt\" }");
    }
    Issuance {
        email: file.text("email").map(str::to_owned),
        issuers,
        challenges,
        dns,
        skip_precheck: file.bool("precheck") == Some(false),
    }
}

/// Sites whose certificates cannot be had in this way.
pub(super) fn check(context: &mut Context<'_>, file: &Table, issuance: &Issuance, sites: &[Site]) {
    let dns_possible =
        file.has("dns") && (issuance.challenges.is_empty() || issuance.challenges.contains(&ChallengeKind::Dns01));
    if dns_possible {
        return;
    }
    for site in sites.iter().filter(|site| site.certificate == CertificateSource::Auto) {
        let HostPolicy::Names(names) = &site.hosts else { continue };
        let wild = names
            .iter()
            .chain(&site.redirect_from)
            .find(|name| matches!(name, HostPattern::Wildcard(_)) && !host::is_local(name));
        let entry = file.table("site").and_then(|table| table.iter().find(|entry| same(&entry.key, &site.name)));
        if let (Some(wild), Some(entry)) = (wild, entry) {
            context
                .error(
                    "wildcard-without-dns",
                    &entry.place,
                    format!("a certificate for `{wild}` can be had only by way of the DNS"),
                )
                .note("certificate authorities give wildcard certificates to whoever can put a TXT record beneath the name")
                .help("dns = { provider = \"desec\", token = \"file:desec.txt\" } at the top of the file, or certificate = \"local\"");
        }
    }
}

fn same(key: &str, name: &str) -> bool {
    host::pattern(key).is_ok_and(|pattern| pattern.to_string() == name)
}

fn known((name, directory): (&str, &str)) -> Issuer {
    Issuer { name: name.to_owned(), directory: directory.to_owned(), roots: None, account: None, profile: None }
}

fn issuer(context: &mut Context<'_>, node: &Node) -> Option<Issuer> {
    let Some(table) = node.table() else {
        return Some(known(if node.text()? == STAGING.0 { STAGING } else { LETSENCRYPT }));
    };
    let name = table.text("name").map(str::to_owned);
    let profile = table.text("profile").map(str::to_owned);
    let roots = table.get("roots").and_then(|node| context.pem(node, "CERTIFICATE"));
    let account = table.table("eab").and_then(|table| {
        let (key_id, hmac_key) = (table.text("key_id"), table.get("hmac_key"));
        let hmac_key = hmac_key?;
        let key = hmac_key.text()?.trim_end_matches('=');
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            context.error("bad-secret", &hmac_key.place, "the key is not base64url, as authorities hand it out");
        }
        Some(ExternalAccount { key_id: key_id?.to_owned(), hmac_key: Secret::new(key.to_owned()) })
    });
    let directory = table.get("directory")?;
    let mut issuer = match directory.text()? {
        text if text == LETSENCRYPT.0 => known(LETSENCRYPT),
        text if text == STAGING.0 => known(STAGING),
        url => {
            let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', ':']).next());
            let Some(host) = host.filter(|host| !host.is_empty()) else {
                context
                    .error(
                        "bad-directory",
                        &directory.place,
                        format!("`{}` is not the `https://` address of an ACME directory", directory.raw()),
                    )
                    .help("directory = \"https://acme-v02.api.letsencrypt.org/directory\"");
                return None;
            };
            known((host, url))
        }
    };
    issuer.name = name.unwrap_or(issuer.name);
    issuer.roots = roots;
    issuer.account = account;
    issuer.profile = profile;
    Some(issuer)
}

fn dns(context: &mut Context<'_>, file: &Table, table: &Table) -> Option<DnsProvider> {
    let mut settings = BTreeMap::new();
    for entry in table.iter().filter(|entry| entry.key != "provider") {
        let value = match &entry.node.value {
            Value::Text(text) => text.get().to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            _ => continue,
        };
        settings.insert(entry.key.clone(), Secret::new(value));
    }
    match table.text("provider") {
        Some(kind) if !kind.is_empty() => {
            let kind = kind.to_ascii_lowercase();
            settle(context, file, table, &kind)?;
            Some(DnsProvider { kind, settings })
        }
        _ => {
            if let Some(entry) = file.entry("dns") {
                context
                    .error("missing-key", &entry.place, "`provider` is missing: whose DNS is it?")
                    .help("provider = \"desec\", \"cloudflare\", \"rfc2136\" …");
            }
            None
        }
    }
}

/// Whether the provider is known, and takes what it is given.
fn settle(context: &mut Context<'_>, file: &Table, table: &Table, kind: &str) -> Option<()> {
    let entry = table.entry("provider")?;
    let Some(provider) = DnsKind::named(kind) else {
        let names = || DNS_PROVIDERS.iter().map(|provider| provider.name);
        let meant = nearest(kind, names());
        let message = format!("no DNS provider `{kind}` is known here");
        let draft = context.error("unknown-dns-provider", &entry.node.place, message).meant(meant);
        if meant.is_none() {
            draft.note(format!("there are {}", names().collect::<Vec<_>>().join(", ")));
        }
        return None;
    };
    let mut fits = true;
    for entry in table.iter().filter(|entry| entry.key != "provider" && !provider.takes(&entry.key)) {
        context
            .error("unknown-key", &entry.place, format!("the DNS provider `{kind}` has no setting `{}`", entry.key))
            .note(format!("it takes {}", provider.all().collect::<Vec<_>>().join(", ")))
            .meant(nearest(&entry.key, provider.all().filter(|name| !table.has(name))));
        fits = false;
    }
    for name in provider.needed().filter(|name| !table.has(name)) {
        let place = file.entry("dns").map_or(&entry.place, |dns| &dns.place);
        context
            .error("missing-key", place, format!("the DNS provider `{kind}` needs `{name}`"))
            .help(format!("{name} = \"…\", or \"file:PATH\" to a file with it"));
        fits = false;
    }
    fits.then_some(())
}
