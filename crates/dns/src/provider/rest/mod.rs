//! Providers that keep sets of records, one for each name and type, and change them by JSON over HTTPS.
//!
//! The library knows these too. By it, deSEC's records last an hour, Cloudflare's are deleted before the new ones are
//! there, and how long a provider wants to be left alone is not passed on: too little for names that follow addresses.

mod cloudflare;
mod desec;
mod gandi;
mod hetzner;
mod web;

use std::net::IpAddr;

use self::cloudflare::Cloudflare;
use self::desec::Desec;
use self::gandi::Gandi;
use self::hetzner::Hetzner;
use super::Kind;
use super::library::Settings;
use crate::fault::DnsFault;

pub(super) enum Rest {
    Cloudflare(Cloudflare),
    Desec(Desec),
    Gandi(Gandi),
    Hetzner(Hetzner),
}

/// All records of one type at one name.
#[derive(Clone, Copy)]
pub(super) struct Set<'a> {
    pub zone: &'a str,
    pub name: &'a str,
    pub kind: Kind,
}

impl Set<'_> {
    /// The name within its zone; `apex` where it is the zone's own.
    fn label(&self, apex: &str) -> String {
        let (name, zone) = (self.name.trim_end_matches('.'), self.zone.trim_end_matches('.'));
        match name.strip_suffix(zone).map(|rest| rest.trim_end_matches('.')) {
            Some("") => apex.to_owned(),
            Some(label) => label.to_owned(),
            None => name.to_owned(),
        }
    }
}

impl Rest {
    /// `None` for providers that are another matter.
    ///
    /// # Errors
    /// No request can be made at all.
    pub fn new(name: &str, settings: &Settings<'_>) -> Result<Option<Self>, DnsFault> {
        Ok(Some(match name {
            "cloudflare" => Self::Cloudflare(Cloudflare::new(settings)?),
            "desec" => Self::Desec(Desec::new(settings)?),
            "gandi" => Self::Gandi(Gandi::new(settings)?),
            "hetzner" => Self::Hetzner(Hetzner::new(settings)?),
            _ => return Ok(None),
        }))
    }

    /// What the provider has there.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn values(&self, set: Set<'_>) -> Result<Vec<String>, DnsFault> {
        match self {
            Self::Cloudflare(provider) => provider.values(set).await,
            Self::Desec(provider) => provider.values(set).await,
            Self::Gandi(provider) => provider.values(set).await,
            Self::Hetzner(provider) => provider.values(set).await,
        }
    }

    /// Puts these values and no others. They replace those that are there, which stay if it fails.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn put(&self, set: Set<'_>, values: &[String], ttl: u32) -> Result<(), DnsFault> {
        match self {
            Self::Cloudflare(provider) => provider.put(set, values, ttl).await,
            Self::Desec(provider) => provider.put(set, values, ttl).await,
            Self::Gandi(provider) => provider.put(set, values, ttl).await,
            Self::Hetzner(provider) => provider.put(set, values, ttl).await,
        }
    }

    /// Whether it took both families at once; `None` where they are to be put one after the other.
    ///
    /// # Errors
    /// What the provider says.
    pub async fn put_both(&self, name: &str, ips: &[IpAddr]) -> Option<Result<(), DnsFault>> {
        match self {
            Self::Desec(provider) if !ips.is_empty() => Some(provider.put_both(name, ips).await),
            _ => None,
        }
    }
}

/// As zone files write it: names end with a dot, texts stand in quotes.
fn written(kind: Kind, value: &str) -> String {
    match kind {
        Kind::A | Kind::Aaaa => value.to_owned(),
        Kind::Cname => format!("{}.", value.trim_end_matches('.')),
        Kind::Txt => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// What [`written`] made of it.
fn read(kind: Kind, value: &str) -> String {
    match kind {
        Kind::A | Kind::Aaaa => value.to_owned(),
        Kind::Cname => value.trim_end_matches('.').to_owned(),
        Kind::Txt => {
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            quoted.map_or_else(|| value.to_owned(), |text| text.replace("\\\"", "\"").replace("\\\\", "\\"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_their_zone() {
        let label = |name, zone| Set { zone, name, kind: Kind::A }.label("@");
        assert_eq!(label("home.example.com", "example.com"), "home");
        assert_eq!(label("a.b.example.com.", "example.com."), "a.b");
        assert_eq!(label("example.com", "example.com"), "@");
    }

    #[test]
    fn values_come_back_as_they_were() {
        for (kind, value) in [(Kind::A, "192.0.2.1"), (Kind::Cname, "home.example.net"), (Kind::Txt, r#"a "b" c"#)] {
            assert_eq!(read(kind, &written(kind, value)), value);
        }
        assert_eq!(read(Kind::Txt, "bare"), "bare");
    }
}
