use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::{Hostname, ip_literal};

/// A way by which visitors from elsewhere reach this computer: who lends it a public address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A doorstep relay: `tun.example.com`, or with another port than 443.
    Relay { host: String, port: u16 },
    /// Any ssh server: `ssh://[user@]host[:port]`. The host may be an alias of `~/.ssh/config`, which also says what is left out.
    Ssh { user: Option<String>, host: String, port: Option<u16> },
    /// A PageKite front-end: `pagekite://name.example.net[:port]`. The name is the kite's, and leads to the front-end, as it
    /// does for visitors; `pagekite://name.example.net@frontend.example.net` names another.
    PageKite { kite: Hostname, frontend: Option<String>, port: Option<u16> },
}

/// Where a doorstep relay listens.
pub const RELAY_PORT: u16 = 443;

/// Why a text is no [`Via`]: a sentence, and the text that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ViaError {
    pub why: String,
    pub meant: Option<String>,
}

/// What a way is called for short, for a person who chose it.
impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay { host, port } => {
                write!(f, "{}", bracketed(host))?;
                if *port == RELAY_PORT { Ok(()) } else { write!(f, ":{port}") }
            }
            Self::Ssh { user, host, port } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", bracketed(host))?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::PageKite { kite, frontend, port } => {
                write!(f, "pagekite://{kite}")?;
                if let Some(frontend) = frontend {
                    write!(f, "@{}", bracketed(frontend))?;
                }
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

impl FromStr for Via {
    type Err = ViaError;

    fn from_str(text: &str) -> Result<Self, ViaError> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("ssh://") {
            return ssh(rest);
        }
        if let Some(rest) = text.strip_prefix("pagekite://") {
            return kite(rest);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let meant = matches!(scheme, "http" | "https" | "doorstep").then(|| rest.trim_end_matches('/').to_owned());
            let why = format!("`{scheme}://` is no way to a relay: there are names, `ssh://` and `pagekite://`");
            return Err(ViaError { why, meant });
        }
        if text.contains('@') {
            return fail("a doorstep relay has no user name in front", Some(format!("ssh://{text}")));
        }
        if let Some((name, _)) = text.split_once('/') {
            return fail("a relay is named by its host alone", Some(name.to_owned()));
        }
        let (host, port) = host_and_port(text)?;
        named(&host)?;
        Ok(Self::Relay { host: host.to_ascii_lowercase(), port: port.unwrap_or(RELAY_PORT) })
    }
}

/// Several, with commas between them; the next is taken when one fails.
///
/// # Errors
/// What is wrong with the first that is none, or that one is there twice.
pub fn vias(text: &str) -> Result<Vec<Via>, ViaError> {
    let mut vias: Vec<Via> = Vec::new();
    for part in text.split(',') {
        let via: Via = part.parse()?;
        if vias.contains(&via) {
            return fail(&format!("{via} is there twice"), None);
        }
        vias.push(via);
    }
    Ok(vias)
}

fn ssh(rest: &str) -> Result<Via, ViaError> {
    if let Some((server, _)) = rest.split_once('/') {
        return fail("an ssh server has no path", Some(format!("ssh://{server}")));
    }
    let (user, server) = match rest.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, rest),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return fail("a password does not belong here, where everybody on this computer can read it: use a key", None);
    }
    let (host, port) = host_and_port(server)?;
    for word in user.iter().copied().chain([host.as_str()]) {
        // `ssh` is given these words: none may look like an option, or end in the middle.
        if word.is_empty()
            || word.starts_with('-')
            || !word.chars().all(|c| c.is_ascii_graphic() && !"'\"`$\\;&|<>".contains(c))
        {
            return fail(&format!("{word:?} is no name of a user or server"), None);
        }
    }
    Ok(Via::Ssh { user: user.map(str::to_owned), host, port })
}

fn kite(rest: &str) -> Result<Via, ViaError> {
    if rest.contains('/') {
        return fail("a kite is named by its host alone, as in `pagekite://name.example.net`", None);
    }
    let (kite, server) = match rest.split_once('@') {
        Some((kite, server)) => (kite, Some(server)),
        None => (rest, None),
    };
    if kite.contains(':') && server.is_some() {
        return fail(
            "a secret does not belong here, where everybody on this computer can read it: put it in a file",
            None,
        );
    }
    let (host, port) = host_and_port(server.unwrap_or(kite))?;
    named(&host)?;
    let kite = server.map_or(host.as_str(), |_| kite);
    match kite.parse::<Hostname>() {
        Ok(kite) if kite.as_str().contains('.') && ip_literal(kite.as_str()).is_none() => {
            let frontend = server.map(|_| host.to_ascii_lowercase());
            Ok(Via::PageKite { kite, frontend, port })
        }
        Ok(_) => fail(&format!("{kite:?} is no kite: those are whole names, such as name.example.net"), None),
        Err(error) => fail(&format!("{kite:?} is no name of a kite: {error}"), None),
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), ViaError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) if port.starts_with(':') => (host, Some(&port[1..])),
            _ => return fail("the closing bracket of the IPv6 address is missing", None),
        },
        None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return fail("the name of the relay is missing", None);
    }
    let port = match port.map(|port| (port, port.parse::<u16>())) {
        None => None,
        Some((_, Ok(port))) if port > 0 => Some(port),
        Some((port, _)) => return fail(&format!("{port:?} is not a port: ports go from 1 to 65535"), None),
    };
    Ok((host.to_owned(), port))
}

/// A host name, or an address.
fn named(host: &str) -> Result<(), ViaError> {
    if ip_literal(host).is_some() || host.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    match host.parse::<Hostname>() {
        Ok(_) => Ok(()),
        Err(error) => fail(&format!("{host:?} is not a host name: {error}"), None),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn fail<T>(why: &str, meant: Option<String>) -> Result<T, ViaError> {
    Err(ViaError { why: why.to_owned(), meant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_alike() {
        for text in [
            "tun.example.com",
            "tun.example.com:8443",
            "192.0.2.7",
            "[2001:db8::1]:444",
            "[2001:db8::1]",
            "ssh://vps",
            "ssh://me@vps.example.com:2222",
            "ssh://me@[::1]:22",
            "pagekite://name.example.net",
            "pagekite://name.example.net:443",
            "pagekite://name.example.net@frontend.example.net:8080",
        ] {
            assert_eq!(text.parse::<Via>().unwrap().to_string(), text);
        }
        let relay = Via::Relay { host: "tun.example.com".into(), port: 443 };
        assert_eq!(" Tun.Example.com:443 ".parse(), Ok(relay));
        assert_eq!("2001:db8::1".parse::<Via>().unwrap().to_string(), "[2001:db8::1]");
    }

    #[test]
    fn what_is_none_is_told_with_what_was_meant() {
        for (text, why, meant) in [
            ("", "missing", None),
            ("https://tun.example.com/", "no way to a relay", Some("tun.example.com")),
            ("tun.example.com/blog", "host alone", Some("tun.example.com")),
            ("me@vps", "no user name", Some("ssh://me@vps")),
            ("tun.example.com:0", "ports go from", None),
            ("tun..com", "not a host name", None),
            ("ssh://me:secret@vps", "use a key", None),
            ("ssh://-oProxyCommand=x", "no name of a user or server", None),
            ("ssh://vps/~", "no path", Some("ssh://vps")),
            ("ssh://$(id)@vps", "no name of a user or server", None),
            ("pagekite://name", "whole names", None),
            ("pagekite://192.0.2.1", "whole names", None),
            ("pagekite://a.example.net:secret@b.example.net", "secret", None),
            ("[::1", "bracket", None),
        ] {
            let error = text.parse::<Via>().unwrap_err();
            assert!(error.why.contains(why), "{text}: {error}");
            assert_eq!(error.meant.as_deref(), meant, "{text}");
            assert!(!error.why.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn several_stand_between_commas() {
        let both = vias("tun.example.com, ssh://vps").unwrap();
        assert_eq!(both.iter().map(Via::to_string).collect::<Vec<_>>(), ["tun.example.com", "ssh://vps"]);
        assert!(vias("a.example,a.example:443").unwrap_err().why.contains("twice"));
        assert!(vias("a.example,,b.example").is_err());
    }
}
