/// A company or program whose DNS can be given records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsKind {
    /// As [`crate::DnsProvider::kind`] names it.
    pub name: &'static str,
    /// What it has to be told; a `?` marks what may be left out. All take `zone` besides.
    pub settings: &'static [&'static str],
}

impl DnsKind {
    pub fn named(name: &str) -> Option<&'static Self> {
        DNS_PROVIDERS.iter().find(|kind| kind.name == name)
    }

    pub fn takes(&self, setting: &str) -> bool {
        self.all().any(|known| known == setting)
    }

    /// Every setting that it takes.
    pub fn all(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().map(|name| name.trim_end_matches('?')).chain(["zone"])
    }

    /// The settings that it cannot do without.
    pub fn needed(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().copied().filter(|name| !name.ends_with('?'))
    }
}

/// All that are known.
pub const DNS_PROVIDERS: &[DnsKind] = &[
    DnsKind { name: "rfc2136", settings: &["server", "key_name", "key", "algorithm?"] },
    DnsKind { name: "arvancloud", settings: &["token"] },
    DnsKind { name: "bunny", settings: &["token"] },
    DnsKind { name: "cloudflare", settings: &["token", "server?"] },
    DnsKind { name: "constellix", settings: &["key", "secret"] },
    DnsKind { name: "ddnss", settings: &["token"] },
    DnsKind { name: "desec", settings: &["token", "server?"] },
    DnsKind { name: "digitalocean", settings: &["token"] },
    DnsKind { name: "dnsimple", settings: &["token", "account"] },
    DnsKind { name: "dnsmadeeasy", settings: &["key", "secret"] },
    DnsKind { name: "domeneshop", settings: &["token", "secret"] },
    DnsKind { name: "dreamhost", settings: &["token"] },
    DnsKind { name: "duckdns", settings: &["token", "server?"] },
    DnsKind { name: "dyndns2", settings: &["user", "password", "server"] },
    DnsKind { name: "dynu", settings: &["token"] },
    DnsKind { name: "easydns", settings: &["token", "key"] },
    DnsKind { name: "exoscale", settings: &["key", "secret"] },
    DnsKind { name: "freemyip", settings: &["token"] },
    DnsKind { name: "gandi", settings: &["token", "server?"] },
    DnsKind { name: "gcore", settings: &["token"] },
    DnsKind { name: "glesys", settings: &["user", "key"] },
    DnsKind { name: "godaddy", settings: &["key", "secret"] },
    DnsKind { name: "hetzner", settings: &["token", "server?"] },
    DnsKind { name: "hostingde", settings: &["token"] },
    DnsKind { name: "infomaniak", settings: &["token"] },
    DnsKind { name: "inwx", settings: &["user", "password"] },
    DnsKind { name: "ionos", settings: &["token"] },
    DnsKind { name: "ipv64", settings: &["token"] },
    DnsKind { name: "linode", settings: &["token"] },
    DnsKind { name: "luadns", settings: &["user", "token"] },
    DnsKind { name: "mythicbeasts", settings: &["user", "password"] },
    DnsKind { name: "namedotcom", settings: &["user", "token"] },
    DnsKind { name: "namesilo", settings: &["token"] },
    DnsKind { name: "netcup", settings: &["customer", "key", "password"] },
    DnsKind { name: "netlify", settings: &["token"] },
    DnsKind { name: "ns1", settings: &["token"] },
    DnsKind { name: "ovh", settings: &["key", "secret", "consumer_key", "endpoint?"] },
    DnsKind { name: "porkbun", settings: &["key", "secret"] },
    DnsKind { name: "powerdns", settings: &["key", "server", "server_name?"] },
    DnsKind { name: "route53", settings: &["key", "secret", "session_token?", "region?", "zone_id?"] },
    DnsKind { name: "scaleway", settings: &["token"] },
    DnsKind { name: "simplycom", settings: &["user", "key"] },
    DnsKind { name: "spaceship", settings: &["key", "secret"] },
    DnsKind { name: "vercel", settings: &["token", "team?"] },
    DnsKind { name: "vultr", settings: &["token"] },
    DnsKind { name: "websupport", settings: &["key", "secret"] },
];
