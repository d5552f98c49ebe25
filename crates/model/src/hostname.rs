use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A host name in canonical form: lower case, no port, no trailing dot, labels of letters, digits,
/// `-` and `_` (RFC 1123 section 2.1; `_` because real networks use it).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Box<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than 253 characters")]
    TooLong,
    #[error("the label {0:?} is empty, longer than 63 characters, or starts or ends with '-'")]
    BadLabel(String),
    #[error("{0:?} may not stand in a host name")]
    BadCharacter(char),
}

impl Hostname {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name can only mean something on this computer or its own network: `localhost`, a single label,
    /// or a name under `.localhost`, `.local`, `.internal`, `.home.arpa`, `.lan`, `.home` (RFC 6761, 6762, 8375).
    /// A web page on the internet cannot make a browser take such a name for its own (DNS rebinding).
    pub fn is_local(&self) -> bool {
        const LOCAL: [&str; 6] = [".localhost", ".local", ".internal", ".home.arpa", ".lan", ".home"];
        !self.0.contains('.') || LOCAL.iter().any(|suffix| self.0.ends_with(suffix))
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(HostnameError::Empty);
        }
        if text.len() > 253 {
            return Err(HostnameError::TooLong);
        }
        for label in text.split('.') {
            if let Some(bad) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '_')) {
                return Err(HostnameError::BadCharacter(bad));
            }
            if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
                return Err(HostnameError::BadLabel(label.to_owned()));
            }
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

/// The IP address that a `Host` value names, brackets of IPv6 removed; `None` for a name.
pub fn ip_literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form() {
        assert_eq!("Blog.Example.COM.".parse::<Hostname>().unwrap().as_str(), "blog.example.com");
        for bad in ["", ".", "a..b", "-a.b", "a b", "a/b", "user@host", "ü.de", &"a".repeat(64)] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn local_names() {
        for local in ["localhost", "my-laptop.local", "nas", "a.localhost", "printer.home.arpa"] {
            assert!(local.parse::<Hostname>().unwrap().is_local(), "{local}");
        }
        for public in ["example.com", "local.example.com", "localhost.evil.org"] {
            assert!(!public.parse::<Hostname>().unwrap().is_local(), "{public}");
        }
    }
}
