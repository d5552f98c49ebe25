use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use doorstep_model::{HostPattern, Hostname, HostnameError, ip_literal};
use serde::{Deserialize, Serialize};

/// What a certificate is for: a host name, all names one label below one, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertName {
    Host(HostPattern),
    Ip(IpAddr),
}

impl CertName {
    /// Whether no public authority can know the name: it means something on this computer or its own network only, or
    /// is an address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Host(HostPattern::Exact(name)) => name.is_local(),
            // `*.home`: what lies below a single label is local only if that label is a local one.
            Self::Host(HostPattern::Wildcard(name)) => {
                format!("x.{name}").parse::<Hostname>().is_ok_and(|below| below.is_local())
            }
            Self::Ip(_) => true,
        }
    }

    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Host(HostPattern::Wildcard(_)))
    }

    /// The name without the `*.` of a wildcard.
    pub(crate) fn base(&self) -> String {
        match self {
            Self::Host(HostPattern::Exact(name) | HostPattern::Wildcard(name)) => name.to_string(),
            Self::Ip(ip) => ip.to_string(),
        }
    }

    /// The name of its folder in the state. `@` stands in no host name, so no two names share a folder.
    pub(crate) fn folder(&self) -> String {
        match self {
            Self::Host(HostPattern::Exact(name)) => name.to_string(),
            Self::Host(HostPattern::Wildcard(name)) => format!("wildcard@{name}"),
            Self::Ip(ip) => format!("ip@{ip}"),
        }
    }
}

impl From<&HostPattern> for CertName {
    /// An exact name that is an IP address becomes one.
    fn from(pattern: &HostPattern) -> Self {
        match pattern {
            HostPattern::Exact(name) => match name.as_str().parse() {
                Ok(ip) => Self::Ip(ip),
                Err(_) => Self::Host(pattern.clone()),
            },
            HostPattern::Wildcard(_) => Self::Host(pattern.clone()),
        }
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(pattern) => pattern.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

impl FromStr for CertName {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match ip_literal(text).or_else(|| text.parse().ok()) {
            Some(ip) => Ok(Self::Ip(ip)),
            None => text.parse().map(Self::Host),
        }
    }
}

impl Serialize for CertName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CertName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_wildcards_and_addresses() {
        for (text, folder, local) in [
            ("Blog.example.com", "blog.example.com", false),
            ("*.example.com", "wildcard@example.com", false),
            ("*.localhost", "wildcard@localhost", true),
            ("*.com", "wildcard@com", false),
            ("nas", "nas", true),
            ("192.0.2.7", "ip@192.0.2.7", true),
            ("[::1]", "ip@::1", true),
            ("::1", "ip@::1", true),
        ] {
            let name: CertName = text.parse().unwrap();
            assert_eq!((name.folder().as_str(), name.is_local()), (folder, local), "{text}");
        }
        assert_eq!(CertName::from(&"10.0.0.1".parse::<HostPattern>().unwrap()), "10.0.0.1".parse().unwrap());
        assert!("../etc".parse::<CertName>().is_err());
    }
}
