use std::net::{IpAddr, SocketAddr};

use doorstep_model::Blame;
use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::Kind;
use crate::fault::DnsFault;
use crate::limits::{ADDRESSES, CNAMES, LOOKUP, SERVERS};

/// Questions to name servers, without caches and without /etc/hosts: an authority sees neither.
#[derive(Clone)]
pub struct Lookup {
    resolver: TokioResolver,
    /// At which port servers are asked that are found by their names.
    port: u16,
}

impl Lookup {
    /// Asks `server`, or those of the system.
    ///
    /// # Errors
    /// The system names no server.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, DnsFault> {
        Self::at(server.as_slice(), server.map_or(53, |server| server.port()))
    }

    /// One server that is reached at any of these addresses.
    fn at(servers: &[SocketAddr], port: u16) -> Result<Self, DnsFault> {
        let broken = |error: NetError| {
            let what = format!("this computer's name servers cannot be asked: {error}.");
            DnsFault::new("dns-resolver", Blame::Environment, what, "Name a name server in /etc/resolv.conf.")
        };
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio().map_err(broken)?,
            servers => {
                let servers = servers.iter().map(|server| {
                    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                        connection.port = server.port();
                        connection
                    });
                    NameServerConfig::new(server.ip(), true, connections.to_vec())
                });
                let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = LOOKUP;
        options.attempts = 2;
        Ok(Self { resolver: builder.build().map_err(broken)?, port })
    }

    /// All addresses of a host name, IPv6 first, as authorities prefer it. Empty where the name does not exist.
    ///
    /// # Errors
    /// No server answered.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsFault> {
        let (v6, v4) = tokio::join!(self.ask(host, RecordType::AAAA), self.ask(host, RecordType::A));
        // Some name servers fail when asked for a kind of address that there is none of.
        let found = match (v6, v4) {
            (Err(_), Err(fault)) => return Err(fault),
            (v6, v4) => [v6, v4].into_iter().flatten().flatten(),
        };
        let mut addresses = Vec::new();
        for data in found {
            match data {
                RData::A(address) => addresses.push(IpAddr::V4(address.0)),
                RData::AAAA(address) => addresses.push(IpAddr::V6(address.0)),
                _ => {}
            }
        }
        addresses.truncate(ADDRESSES);
        Ok(addresses)
    }

    /// The values at `name` of one type, as text: addresses, or the name that a CNAME leads to.
    ///
    /// # Errors
    /// No server answered.
    pub async fn values(&self, name: &str, kind: Kind) -> Result<Vec<String>, DnsFault> {
        let asked = match kind {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Cname => RecordType::CNAME,
            Kind::Txt => return self.texts(name).await,
        };
        let values = self.ask(name, asked).await?.into_iter().filter_map(|data| match (kind, data) {
            (Kind::A, RData::A(address)) => Some(address.0.to_string()),
            (Kind::Aaaa, RData::AAAA(address)) => Some(address.0.to_string()),
            (Kind::Cname, RData::CNAME(target)) => Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        });
        Ok(values.collect())
    }

    /// Lookups at each of the servers that answer for `zone` themselves, past all caches.
    ///
    /// # Errors
    /// They cannot be found out.
    pub async fn authorities(&self, zone: &str) -> Result<Vec<(String, Self)>, DnsFault> {
        let servers = self.ask(zone, RecordType::NS).await?.into_iter().filter_map(|data| match data {
            RData::NS(server) => Some(server.0.to_ascii().trim_end_matches('.').to_owned()),
            _ => None,
        });
        // By both families: a line without IPv6 cannot ask there, and most servers have such an address.
        let found = join_all(servers.take(SERVERS).map(async |name| {
            let ips = self.addresses(&name).await.unwrap_or_default();
            let ips: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, self.port)).collect();
            let lookup = if ips.is_empty() { None } else { Self::at(&ips, self.port).ok() };
            lookup.map(|lookup| (name, lookup))
        }));
        Ok(found.await.into_iter().flatten().collect())
    }

    /// The texts at `name`.
    ///
    /// # Errors
    /// No server answered.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, DnsFault> {
        let texts = self.ask(name, RecordType::TXT).await?.into_iter().filter_map(|data| match data {
            RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Where the CNAME records that begin at `name` lead; `name` itself where there are none.
    ///
    /// # Errors
    /// No server answered, or they lead on and on.
    pub async fn canonical(&self, name: &str) -> Result<String, DnsFault> {
        let mut at = name.to_owned();
        for _ in 0..CNAMES {
            let next = self.ask(&at, RecordType::CNAME).await?.into_iter().find_map(|data| match data {
                RData::CNAME(target) => Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
                _ => None,
            });
            match next {
                Some(next) => at = next,
                None => return Ok(at),
            }
        }
        let what = format!("the CNAME records at {name} lead on and on.");
        Err(DnsFault::new(
            "dns-cname-loop",
            Blame::Environment,
            what,
            format!("Let {name} lead to where the record is to be put."),
        ))
    }

    /// The zone that `name` lies in: the nearest name above with an SOA record.
    ///
    /// # Errors
    /// No server answered, or there is none.
    pub async fn zone(&self, name: &str) -> Result<String, DnsFault> {
        let mut at = name;
        loop {
            let found = self.ask(at, RecordType::SOA).await?.iter().any(|data| matches!(data, RData::SOA(_)));
            if found {
                return Ok(at.to_owned());
            }
            match at.split_once('.') {
                Some((_, above)) => at = above,
                None => {
                    let what = format!("no DNS zone was found for {name}.");
                    return Err(DnsFault::new("dns-zone", Blame::Environment, what, "Give it as `zone` in `dns`."));
                }
            }
        }
    }

    /// The records of one kind; none where the name, or that kind of record, does not exist.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, DnsFault> {
        let failed = |why: &dyn std::fmt::Display| {
            let what = format!("looking up {name} ({kind}) failed: {why}.");
            DnsFault::new("dns-lookup", Blame::Environment, what, "Check that this computer's name server answers.")
        };
        let mut asked = Name::from_ascii(name).map_err(|error| failed(&error))?;
        asked.set_fqdn(true);
        match self.resolver.lookup(asked, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(failed(&error)),
        }
    }
}
