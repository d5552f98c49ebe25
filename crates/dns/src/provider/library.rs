use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dns_update::{DnsUpdater, TsigAlgorithm};
use doorstep_model::{Blame, DNS_PROVIDERS, DnsKind, DnsProvider};

use crate::fault::{Again, DnsFault};
use crate::limits::REQUEST;

const TIMEOUT: Option<std::time::Duration> = Some(REQUEST);

type Make = fn(&Settings<'_>) -> Result<DnsUpdater, Problem>;

/// A client for `provider`.
pub(super) fn updater(provider: &DnsProvider) -> Result<DnsUpdater, DnsFault> {
    let name = check(provider)?;
    let make = MAKERS.iter().find(|(known, _)| *known == name);
    let Some((_, make)) = make else {
        return Err(fault(format!("the DNS provider {name} is not known to the library."), String::new()));
    };
    make(&Settings(provider)).map_err(|problem| problem.explain(name))
}

/// Whether the provider is one that is known, and has all that it needs and nothing else; its name.
pub(super) fn check(provider: &DnsProvider) -> Result<&'static str, DnsFault> {
    let known = DnsKind::named(&provider.kind);
    let Some(DnsKind { name, settings }) = known else {
        let all: Vec<&str> = DNS_PROVIDERS.iter().map(|kind| kind.name).collect();
        let what = format!("the DNS provider {:?} is not known.", provider.kind);
        return Err(fault(what, format!("Use one of: {}.", all.join(", "))));
    };
    let is_known = |key: &str| known.is_some_and(|kind| kind.takes(key));
    if let Some(unknown) = provider.settings.keys().find(|key| !is_known(key)) {
        let what = format!("the DNS provider {name} has no setting {unknown:?}.");
        return Err(fault(what, format!("It takes: {}.", settings.join(", "))));
    }
    for needed in settings.iter().filter(|name| !name.ends_with('?')) {
        Settings(provider).get(needed).map_err(|problem| problem.explain(name))?;
    }
    Ok(name)
}

fn fault(what: String, fix: String) -> DnsFault {
    DnsFault::new("dns-provider", Blame::Environment, what, fix).again(Again::Never)
}

pub(super) enum Problem {
    Missing(&'static str),
    Refused(String),
}

impl Problem {
    fn explain(self, name: &str) -> DnsFault {
        match self {
            Self::Missing(key) => {
                fault(format!("the DNS provider {name} needs the setting {key:?}."), format!("Add {key} to `dns`."))
            }
            Self::Refused(why) => fault(
                format!("the DNS provider {name} cannot be used with these settings: {why}."),
                "Correct them in `dns`.".into(),
            ),
        }
    }
}

impl From<dns_update::Error> for Problem {
    fn from(error: dns_update::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

pub(super) struct Settings<'a>(pub &'a DnsProvider);

impl Settings<'_> {
    pub fn get(&self, key: &'static str) -> Result<&str, Problem> {
        self.maybe(key).ok_or(Problem::Missing(key))
    }

    pub fn maybe(&self, key: &str) -> Option<&str> {
        self.0.settings.get(key).map(|value| value.reveal().as_str())
    }
}

/// How each of [`DNS_PROVIDERS`] is made that is not our own.
const MAKERS: &[(&str, Make)] = &[
    ("rfc2136", rfc2136),
    ("arvancloud", |s| Ok(DnsUpdater::new_arvancloud(s.get("token")?, TIMEOUT)?)),
    ("bunny", |s| Ok(DnsUpdater::new_bunny(s.get("token")?, TIMEOUT)?)),
    ("constellix", |s| Ok(DnsUpdater::new_constellix(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("ddnss", |s| Ok(DnsUpdater::new_ddnss(s.get("token")?, TIMEOUT)?)),
    ("digitalocean", |s| Ok(DnsUpdater::new_digitalocean(s.get("token")?, TIMEOUT)?)),
    ("dnsimple", |s| Ok(DnsUpdater::new_dnsimple(s.get("token")?, s.get("account")?, TIMEOUT)?)),
    ("dnsmadeeasy", |s| Ok(DnsUpdater::new_dnsmadeeasy(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("domeneshop", |s| Ok(DnsUpdater::new_domeneshop(s.get("token")?, s.get("secret")?, TIMEOUT)?)),
    ("dreamhost", |s| Ok(DnsUpdater::new_dreamhost(s.get("token")?, TIMEOUT)?)),
    ("dynu", |s| Ok(DnsUpdater::new_dynu(s.get("token")?, TIMEOUT)?)),
    ("easydns", |s| Ok(DnsUpdater::new_easydns(s.get("token")?, s.get("key")?, TIMEOUT)?)),
    ("exoscale", |s| Ok(DnsUpdater::new_exoscale(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("freemyip", |s| Ok(DnsUpdater::new_freemyip(s.get("token")?, TIMEOUT)?)),
    ("gcore", |s| Ok(DnsUpdater::new_gcore(s.get("token")?, TIMEOUT)?)),
    ("glesys", |s| Ok(DnsUpdater::new_glesys(s.get("user")?, s.get("key")?, TIMEOUT)?)),
    ("godaddy", |s| Ok(DnsUpdater::new_godaddy(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("hostingde", |s| Ok(DnsUpdater::new_hostingde(s.get("token")?, TIMEOUT)?)),
    ("infomaniak", |s| Ok(DnsUpdater::new_infomaniak(s.get("token")?, TIMEOUT)?)),
    ("inwx", |s| Ok(DnsUpdater::new_inwx(s.get("user")?, s.get("password")?, false, TIMEOUT)?)),
    ("ionos", |s| Ok(DnsUpdater::new_ionos(s.get("token")?, TIMEOUT)?)),
    ("ipv64", |s| Ok(DnsUpdater::new_ipv64(s.get("token")?, TIMEOUT)?)),
    ("linode", |s| Ok(DnsUpdater::new_linode(s.get("token")?, TIMEOUT)?)),
    ("luadns", |s| Ok(DnsUpdater::new_luadns(s.get("user")?, s.get("token")?, TIMEOUT)?)),
    ("mythicbeasts", |s| Ok(DnsUpdater::new_mythicbeasts(s.get("user")?, s.get("password")?, TIMEOUT)?)),
    ("namedotcom", |s| Ok(DnsUpdater::new_namedotcom(s.get("user")?, s.get("token")?, TIMEOUT)?)),
    ("namesilo", |s| Ok(DnsUpdater::new_namesilo(s.get("token")?, TIMEOUT)?)),
    ("netcup", |s| Ok(DnsUpdater::new_netcup(s.get("customer")?, s.get("key")?, s.get("password")?, TIMEOUT)?)),
    ("netlify", |s| Ok(DnsUpdater::new_netlify(s.get("token")?, TIMEOUT)?)),
    ("ns1", |s| Ok(DnsUpdater::new_ns1(s.get("token")?, TIMEOUT)?)),
    ("ovh", |s| {
        let endpoint = s.maybe("endpoint").unwrap_or("ovh-eu").parse()?;
        Ok(DnsUpdater::new_ovh(s.get("key")?, s.get("secret")?, s.get("consumer_key")?, endpoint, TIMEOUT)?)
    }),
    ("porkbun", |s| Ok(DnsUpdater::new_porkbun(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("powerdns", |s| Ok(DnsUpdater::new_pdns(s.get("key")?, Some(s.get("server")?), s.maybe("server_name"), TIMEOUT)?)),
    ("route53", route53),
    ("scaleway", |s| Ok(DnsUpdater::new_scaleway(s.get("token")?, TIMEOUT)?)),
    ("simplycom", |s| Ok(DnsUpdater::new_simplycom(s.get("user")?, s.get("key")?, TIMEOUT)?)),
    ("spaceship", |s| Ok(DnsUpdater::new_spaceship(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
    ("vercel", |s| Ok(DnsUpdater::new_vercel(s.get("token")?, s.maybe("team"), TIMEOUT)?)),
    ("vultr", |s| Ok(DnsUpdater::new_vultr(s.get("token")?, TIMEOUT)?)),
    ("websupport", |s| Ok(DnsUpdater::new_websupport(s.get("key")?, s.get("secret")?, TIMEOUT)?)),
];

/// `server` is `192.0.2.53`, `192.0.2.53:5353`, or with `tcp://` or `udp://` before it; over TCP by default, since a
/// signed answer that is cut short would be no answer.
fn rfc2136(settings: &Settings<'_>) -> Result<DnsUpdater, Problem> {
    let server = settings.get("server")?;
    let server = if server.contains("://") { server.to_owned() } else { format!("tcp://{server}") };
    let key = STANDARD.decode(settings.get("key")?.trim());
    let key = key.map_err(|_| Problem::Refused("the key is not base64, as `tsig-keygen` prints it".into()))?;
    let algorithm = match settings.maybe("algorithm").unwrap_or("hmac-sha256") {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => {
            return Err(Problem::Refused(format!("{other:?} is none of hmac-sha256, hmac-sha384, hmac-sha512")));
        }
    };
    Ok(DnsUpdater::new_rfc2136_tsig(server, settings.get("key_name")?, key, algorithm)?)
}

fn route53(settings: &Settings<'_>) -> Result<DnsUpdater, Problem> {
    Ok(DnsUpdater::new_route53(dns_update::providers::route53::Route53Config {
        access_key_id: settings.get("key")?.to_owned(),
        secret_access_key: settings.get("secret")?.to_owned(),
        session_token: settings.maybe("session_token").map(str::to_owned),
        region: settings.maybe("region").map(str::to_owned),
        hosted_zone_id: settings.maybe("zone_id").map(str::to_owned),
        private_zone_only: None,
        endpoint: None,
    })?)
}

#[cfg(test)]
mod tests {
    use doorstep_model::Secret;

    use super::*;

    fn make(kind: &str, settings: &[(&str, &str)]) -> Result<(), DnsFault> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), Secret::new((*value).to_owned())));
        crate::Provider::new(&DnsProvider { kind: kind.into(), settings: settings.collect() }).map(drop)
    }

    #[test]
    fn every_provider_can_be_made_of_the_settings_it_names() {
        assert_eq!(DNS_PROVIDERS.len(), MAKERS.len() + 6, "six are our own");
        for DnsKind { name, settings } in DNS_PROVIDERS {
            let value = |key: &str| match key {
                "server" if *name == "rfc2136" => "127.0.0.1:53",
                "server" => "http://127.0.0.1:8081",
                "endpoint" => "ovh-ca",
                "algorithm" => "hmac-sha512",
                "region" => "eu-central-1",
                _ => "c2VjcmV0",
            };
            let given: Vec<_> =
                settings.iter().map(|key| key.trim_end_matches('?')).map(|key| (key, value(key))).collect();
            if let Err(fault) = make(name, &given) {
                panic!("{name}: {}", fault.what);
            }
            for missing in settings.iter().filter(|key| !key.ends_with('?')) {
                let fewer: Vec<_> = given.iter().copied().filter(|(key, _)| key != missing).collect();
                assert!(
                    make(name, &fewer).is_err_and(|fault| fault.what.contains(missing)),
                    "{name} without {missing}"
                );
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let fault = make("cloudflair", &[("token", "s3cr3t")]).err().unwrap();
        assert!(fault.fix.contains("cloudflare"));
        let fault = make("cloudflare", &[("tokn", "s3cr3t")]).err().unwrap();
        assert!(fault.what.contains("tokn") && !fault.what.contains("s3cr3t"));
        assert!(make("rfc2136", &[("server", "::"), ("key_name", "k"), ("key", "%")]).is_err());
    }
}
