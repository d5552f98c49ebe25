//! Those who answer for zones, and can be told what to answer.

mod duckdns;
mod dyndns2;
mod http;
mod library;

use std::fmt;
use std::net::IpAddr;

use dns_update::{DnsRecord, DnsRecordType, DnsUpdater};
use doorstep_model::{Blame, DnsProvider};

use crate::fault::{Again, DnsFault};

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
            _ => How::Library(Box::new(library::updater(settings)?)),
        };
        Ok(Self { name, how })
    }

    /// As `provider` in the configuration names it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a name can be made to lead to another one. Services for addresses alone cannot.
    pub fn can_alias(&self) -> bool {
        matches!(self.how, How::Library(_))
    }

    /// Whether TXT records can be put.
    pub fn takes_text(&self) -> bool {
        !matches!(self.how, How::Dyndns2(_))
    }

    /// Lets `name` have these addresses and no others: both families at once, so that none is left behind.
    ///
    /// # Errors
    /// What the provider says. It may have taken one family and not the other; the same call again mends that.
    pub async fn set_addresses(&self, zone: &str, name: &str, ips: &[IpAddr], ttl: u32) -> Result<(), DnsFault> {
        match &self.how {
            How::DuckDns(duckdns) => duckdns.set_addresses(name, ips).await,
            How::Dyndns2(dyndns2) => dyndns2.set_addresses(name, ips).await,
            How::Library(_) => {
                let of = |v4: bool| ips.iter().filter(|ip| ip.is_ipv4() == v4).map(ToString::to_string).collect();
                self.set(zone, name, Kind::A, of(true), ttl).await?;
                self.set(zone, name, Kind::Aaaa, of(false), ttl).await
            }
        }
    }

    /// Lets `name` have these values of one type and no others; none removes the records.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn set(&self, zone: &str, name: &str, kind: Kind, values: Vec<String>, ttl: u32) -> Result<(), DnsFault> {
        match (&self.how, kind) {
            (How::DuckDns(duckdns), Kind::Txt) => duckdns.set_text(name, values.first().map(String::as_str)).await,
            (How::Library(updater), _) => {
                let records = values.iter().map(|value| record(kind, value)).collect::<Result<Vec<_>, _>>()?;
                let set = updater.set_rrset(name, record_type(kind), ttl, records, zone).await;
                set.map_err(|error| self.refused(zone, name, kind, &error))
            }
            (How::DuckDns(_) | How::Dyndns2(_), _) => {
                let what = format!("{} cannot put {kind} records.", self.name);
                Err(DnsFault::new("dns-unsupported", Blame::Environment, what, "").again(Again::Never))
            }
        }
    }

    /// Puts a text beside those that are there.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn add_text(&self, zone: &str, name: &str, text: &str) -> Result<(), DnsFault> {
        let How::Library(updater) = &self.how else {
            return self.set(zone, name, Kind::Txt, vec![text.to_owned()], 60).await;
        };
        let wanted = vec![DnsRecord::TXT(text.to_owned())];
        let put = updater.add_to_rrset(name, DnsRecordType::TXT, 60, wanted, zone).await;
        put.map_err(|error| self.refused(zone, name, Kind::Txt, &error))
    }

    /// Takes one text away, and leaves others.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn remove_text(&self, zone: &str, name: &str, text: &str) -> Result<(), DnsFault> {
        let How::Library(updater) = &self.how else {
            return self.set(zone, name, Kind::Txt, Vec::new(), 60).await;
        };
        let gone = vec![DnsRecord::TXT(text.to_owned())];
        let removed = updater.remove_from_rrset(name, DnsRecordType::TXT, gone, zone).await;
        removed.map_err(|error| self.refused(zone, name, Kind::Txt, &error))
    }

    fn refused(&self, zone: &str, name: &str, kind: Kind, error: &dns_update::Error) -> DnsFault {
        let why = words(error);
        // An answer without a signature is one to a signature that the server did not take (RFC 8945 section 5.3.2).
        let unsigned = why.contains("TSIG") || why.contains("tsig");
        let why = if unsigned { "it does not know this key, or its secret is another one".to_owned() } else { why };
        let what = format!("{} did not take the {kind} record of {name} in the zone {zone}: {why}.", self.name);
        let (fix, again) = match error {
            _ if unsigned => ("Check `key_name` and `key` in `dns`.", Again::Never),
            dns_update::Error::Unauthorized => {
                ("Check the token or key in `dns`, and that it may change this zone.", Again::Never)
            }
            dns_update::Error::NotFound => ("Check that the zone is this account's own.", Again::Never),
            // What servers of RFC 2136 answer to a key that they do not know, or that may not do this.
            dns_update::Error::Response(code) if is_refusal(code) => {
                ("Check the key in `dns`, and that it may change this zone.", Again::Never)
            }
            dns_update::Error::Unsupported(_) => ("Use another provider for this.", Again::Never),
            _ => ("Check the settings in `dns`, and that they may change this zone.", Again::Soon),
        };
        DnsFault::new("dns-update", Blame::Environment, what, fix).again(again)
    }
}

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
