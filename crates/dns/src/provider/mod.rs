//! Those who answer for zones, and can be told what to answer.

mod duckdns;
mod dyndns2;
mod http;
mod library;
mod rest;

use std::fmt;
use std::net::IpAddr;

use dns_update::{DnsRecord, DnsRecordType, DnsUpdater};
use doorstep_model::{Blame, DnsProvider};

use self::rest::{Rest, Set};
use crate::fault::{Again, DnsFault};
use crate::limits::{LIBRARY, LIMITED, REFUSED};

/// Types of records that are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Cname,
    Txt,
}

impl Kind {
    /// As zone files spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname, Self::Txt].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One provider, with what makes us known to it.
pub struct Provider {
    name: &'static str,
    how: How,
}

enum How {
    Library(Box<DnsUpdater>),
    Rest(Rest),
    DuckDns(duckdns::DuckDns),
    Dyndns2(dyndns2::Dyndns2),
}

impl Provider {
    /// # Errors
    /// It is not known, or not told what it needs.
    pub fn new(settings: &DnsProvider) -> Result<Self, DnsFault> {
        let name = library::check(settings)?;
        let given = library::Settings(settings);
        let how = match name {
            "duckdns" => How::DuckDns(duckdns::DuckDns::new(&given)?),
            "dyndns2" => How::Dyndns2(dyndns2::Dyndns2::new(&given)?),
            _ => match Rest::new(name, &given)? {
                Some(rest) => How::Rest(rest),
                None => How::Library(Box::new(library::updater(settings)?)),
            },
        };
        Ok(Self { name, how })
    }

    /// As `provider` in the configuration names it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a name can be made to lead to another one. Services for addresses alone cannot.
    pub fn can_alias(&self) -> bool {
        matches!(self.how, How::Library(_) | How::Rest(_))
    }

    /// Whether an address can be taken away. The protocol of many services has no word for it.
    pub fn can_remove(&self) -> bool {
        !matches!(self.how, How::Dyndns2(_))
    }

    /// Whether TXT records can be put.
    pub fn takes_text(&self) -> bool {
        !matches!(self.how, How::Dyndns2(_))
    }

    /// Lets `name` have these addresses and no others. `gone`: a family that is not among them may be there, and is removed.
    ///
    /// # Errors
    /// What the provider says. It may have taken one family and not the other; the same call again mends that.
    pub async fn set_addresses(
        &self,
        zone: &str,
        name: &str,
        ips: &[IpAddr],
        ttl: u32,
        gone: bool,
    ) -> Result<(), DnsFault> {
        match &self.how {
            How::DuckDns(duckdns) => return duckdns.set_addresses(name, ips, gone).await,
            How::Dyndns2(dyndns2) => return dyndns2.set_addresses(name, ips).await,
            How::Rest(rest) => {
                if let Some(put) = rest.put_both(name, ips).await {
                    return put;
                }
            }
            How::Library(_) => {}
        }
        for kind in [Kind::A, Kind::Aaaa] {
            let of: Vec<_> =
                ips.iter().filter(|ip| ip.is_ipv4() == (kind == Kind::A)).map(ToString::to_string).collect();
            if gone || !of.is_empty() {
                self.set(zone, name, kind, of, ttl).await?;
            }
        }
        Ok(())
    }

    /// Lets `name` have these values of one type and no others; none removes the records.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn set(&self, zone: &str, name: &str, kind: Kind, values: Vec<String>, ttl: u32) -> Result<(), DnsFault> {
        match (&self.how, kind) {
            (How::DuckDns(duckdns), Kind::Txt) => duckdns.set_text(name, values.first().map(String::as_str)).await,
            (How::Rest(rest), kind) => rest.put(Set { zone, name, kind }, &values, ttl).await,
            (How::Library(updater), _) => {
                let records = values.iter().map(|value| record(kind, value)).collect::<Result<Vec<_>, _>>()?;
                self.within(zone, name, kind, updater.set_rrset(name, record_type(kind), ttl, records, zone)).await
            }
            (How::DuckDns(_) | How::Dyndns2(_), _) => {
                let what = format!("{} cannot put {kind} records.", self.name);
                Err(DnsFault::new("dns-unsupported", Blame::Environment, what, "").again(Again::Never))
            }
        }
    }

    /// What it has of one type at `name`; nothing where it is no matter of records but of addresses alone.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn values(&self, zone: &str, name: &str, kind: Kind) -> Result<Vec<String>, DnsFault> {
        match &self.how {
            How::Rest(rest) => rest.values(Set { zone, name, kind }).await,
            How::Library(updater) => {
                let listed = async {
                    match updater.list_rrset(name, record_type(kind), zone).await {
                        // Some take and do not tell.
                        Err(dns_update::Error::Unsupported(_)) => Ok(Vec::new()),
                        listed => listed,
                    }
                };
                let found = self.within(zone, name, kind, listed).await?;
                Ok(found.iter().map(|record| record.to_string().trim_end_matches('.').to_owned()).collect())
            }
            How::DuckDns(_) | How::Dyndns2(_) => Ok(Vec::new()),
        }
    }

    /// Puts a text beside those that are there.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn add_text(&self, zone: &str, name: &str, text: &str) -> Result<(), DnsFault> {
        match &self.how {
            How::Library(updater) => {
                let wanted = vec![DnsRecord::TXT(text.to_owned())];
                let put = updater.add_to_rrset(name, DnsRecordType::TXT, TEXT_TTL, wanted, zone);
                self.within(zone, name, Kind::Txt, put).await
            }
            How::Rest(rest) => {
                let set = Set { zone, name, kind: Kind::Txt };
                let mut texts = rest.values(set).await?;
                if texts.iter().any(|there| there == text) {
                    return Ok(());
                }
                texts.push(text.to_owned());
                rest.put(set, &texts, TEXT_TTL).await
            }
            _ => self.set(zone, name, Kind::Txt, vec![text.to_owned()], TEXT_TTL).await,
        }
    }

    /// Takes one text away, and leaves others.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn remove_text(&self, zone: &str, name: &str, text: &str) -> Result<(), DnsFault> {
        match &self.how {
            How::Library(updater) => {
                let gone = vec![DnsRecord::TXT(text.to_owned())];
                let removed = updater.remove_from_rrset(name, DnsRecordType::TXT, gone, zone);
                self.within(zone, name, Kind::Txt, removed).await
            }
            How::Rest(rest) => {
                let set = Set { zone, name, kind: Kind::Txt };
                let mut texts = rest.values(set).await?;
                let before = texts.len();
                texts.retain(|there| there != text);
                if texts.len() == before { Ok(()) } else { rest.put(set, &texts, TEXT_TTL).await }
            }
            _ => self.set(zone, name, Kind::Txt, Vec::new(), TEXT_TTL).await,
        }
    }

    /// The library waits by itself when it is told to come back later, which may be long.
    async fn within<T>(
        &self,
        zone: &str,
        name: &str,
        kind: Kind,
        change: impl Future<Output = dns_update::Result<T>>,
    ) -> Result<T, DnsFault> {
        match tokio::time::timeout(LIBRARY, change).await {
            Ok(changed) => changed.map_err(|error| self.refused(zone, name, kind, &error)),
            Err(_) => {
                let what = format!("{} did not come to an end with {name} in {} s.", self.name, LIBRARY.as_secs());
                Err(DnsFault::new("dns-unreachable", Blame::Upstream, what, "Nothing: it is tried again."))
            }
        }
    }

    fn refused(&self, zone: &str, name: &str, kind: Kind, error: &dns_update::Error) -> DnsFault {
        let why = words(error);
        // An answer without a signature is one to a signature that the server did not take (RFC 8945 section 5.3.2).
        let unsigned = why.contains("TSIG") || why.contains("tsig");
        let why = if unsigned {
            "it does not know this key, its secret is another one, or one of the two clocks is wrong".to_owned()
        } else {
            why
        };
        let what = format!("{} did not take the {kind} record of {name} in the zone {zone}: {why}.", self.name);
        let (fix, again) = match error {
            _ if unsigned => ("Check `key_name` and `key` in `dns`, and this computer's clock.", Again::After(REFUSED)),
            dns_update::Error::Unauthorized => {
                ("Check the token or key in `dns`, and that it may change this zone.", Again::Never)
            }
            dns_update::Error::NotFound => ("Check that the zone is this account's own.", Again::Never),
            // What servers of RFC 2136 answer to a key that they do not know, or that may not do this.
            dns_update::Error::Response(code) if is_refusal(code) => (
                "Check the key in `dns`, that it may change this zone, and this computer's clock.",
                Again::After(REFUSED),
            ),
            dns_update::Error::Unsupported(_) => ("Use another provider for this.", Again::Never),
            dns_update::Error::Api(text) if text.starts_with("Only TXT") => {
                ("Use `dyndns2` with this service's server if it speaks that, or another provider.", Again::Never)
            }
            dns_update::Error::Api(text) if text.starts_with("HTTP 403") => {
                ("Check the token or key in `dns`, and that it may change this zone.", Again::Never)
            }
            dns_update::Error::Api(text) if text.starts_with("HTTP 429") => return http::too_often(self.name, LIMITED),
            _ => ("Check the settings in `dns`, and that they may change this zone.", Again::Soon),
        };
        DnsFault::new("dns-update", Blame::Environment, what, fix).again(again)
    }
}

/// How long others may remember a text that answers a challenge, in seconds.
const TEXT_TTL: u32 = 60;

fn is_refusal(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    ["notauth", "not authoritative", "refused", "badsig", "badkey", "notzone", "not authorized", "query refused"]
        .iter()
        .any(|refusal| code.contains(refusal))
}

fn words(error: &dns_update::Error) -> String {
    let words: String = error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    words.trim().trim_end_matches('.').to_owned()
}

fn record(kind: Kind, value: &str) -> Result<DnsRecord, DnsFault> {
    let wrong =
        || DnsFault::new("dns-update", Blame::Doorstep, format!("{value:?} is no value of {kind} records."), "");
    Ok(match kind {
        Kind::A => DnsRecord::A(value.parse().map_err(|_| wrong())?),
        Kind::Aaaa => DnsRecord::AAAA(value.parse().map_err(|_| wrong())?),
        Kind::Cname => DnsRecord::CNAME(value.to_owned()),
        Kind::Txt => DnsRecord::TXT(value.to_owned()),
    })
}

fn record_type(kind: Kind) -> DnsRecordType {
    match kind {
        Kind::A => DnsRecordType::A,
        Kind::Aaaa => DnsRecordType::AAAA,
        Kind::Cname => DnsRecordType::CNAME,
        Kind::Txt => DnsRecordType::TXT,
    }
}
