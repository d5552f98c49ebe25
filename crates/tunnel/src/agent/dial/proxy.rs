use std::fmt;
use std::net::IpAddr;

use doorstep_model::Secret;
use ipnet::IpNet;

use super::DialError;

/// Which HTTP proxy leads out of this network, as the environment says it for all programs.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    through: Option<Result<ProxyAddress, String>>,
    except: Vec<Exception>,
}

/// An `http://` proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxyAddress {
    pub host: String,
    pub port: u16,
    /// `user:password`.
    pub login: Option<Secret<String>>,
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

/// What is reached without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    /// A name and those beneath it, at one port or all.
    Name(String, Option<u16>),
    Net(IpNet),
}

impl Proxy {
    /// No proxy.
    pub fn none() -> Self {
        Self::default()
    }

    /// This one for everything: `http://user:password@host:port`, or a part of it.
    pub fn through(url: &str) -> Self {
        Self { through: Some(parse(url)), except: Vec::new() }
    }

    /// What `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in small letters or capitals (the small ones first, as curl has
    /// it).
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let set = |name: &str| get(name).filter(|value| !value.trim().is_empty());
            set(&name.to_ascii_lowercase()).or_else(|| set(name))
        };
        let through = either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")).map(|url| parse(url.trim()));
        let except = either("NO_PROXY").unwrap_or_default();
        let except = except.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).map(exception).collect();
        Self { through, except }
    }

    /// The proxy for connections to `host`, if one is to be used.
    pub(super) fn towards(&self, host: &str, port: u16) -> Result<Option<&ProxyAddress>, DialError> {
        let Some(through) = &self.through else { return Ok(None) };
        if self.except.iter().any(|exception| exception.is_for(host, port)) {
            return Ok(None);
        }
        match through {
            Ok(address) => Ok(Some(address)),
            Err(reason) => Err(DialError::Proxy { proxy: "of this network".to_owned(), reason: reason.clone() }),
        }
    }
}

impl Exception {
    fn is_for(&self, host: &str, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Name(name, only) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let beneath =
                    host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                beneath && only.is_none_or(|only| only == port)
            }
            Self::Net(net) => host.parse::<IpAddr>().is_ok_and(|ip| net.contains(&ip)),
        }
    }
}

fn exception(entry: &str) -> Exception {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if entry == "*" {
        return Exception::All;
    }
    if let Ok(net) = bare.parse::<IpNet>().or_else(|_| bare.parse::<IpAddr>().map(IpNet::from)) {
        return Exception::Net(net);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (entry, None),
    };
    let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    Exception::Name(name.to_ascii_lowercase(), port)
}

/// `http://user:password@host:port`, or a part of it. Errors are for people, and do not repeat what may be a password.
fn parse(url: &str) -> Result<ProxyAddress, String> {
    let rest = match url.split_once("://") {
        None => url,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) => return Err(format!("doorstep goes through http:// proxies only, not {scheme}://")),
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(decode(login)), address),
        None => (None, rest),
    };
    let (host, port) = host_and_port(address, 80).ok_or("its address is not host:port")?;
    Ok(ProxyAddress { host, port, login: login.map(Secret::new) })
}

/// Percent-decoding (RFC 3986 section 2.1); what is none stays.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|c| char::from(*c).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Splits `host`, `host:port`, `[::1]:port` or a bare IPv6 address.
pub(super) fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !text.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, default),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':' | b'%');
    (!host.is_empty() && port != 0 && host.bytes().all(plain)).then(|| (host.to_owned(), port))
}

pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> Proxy {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxy::from_variables(get)
    }

    fn towards(variables: &[(&str, &str)], host: &str) -> Option<String> {
        proxy(variables).towards(host, 443).unwrap().map(|through| {
            let login = through.login.as_ref().map_or(String::new(), |login| format!("{}@", login.reveal()));
            format!("{login}{through}")
        })
    }

    #[test]
    fn says_what_the_environment_says() {
        assert_eq!(towards(&[], "tun.example.com"), None);
        assert_eq!(towards(&[("HTTPS_PROXY", "")], "tun.example.com"), None);
        let all = [("ALL_PROXY", "http://a:3128"), ("HTTPS_PROXY", "b"), ("https_proxy", "http://c:81/")];
        assert_eq!(towards(&all, "t"), Some("c:81".into()));
        assert_eq!(towards(&all[..2], "t"), Some("b:80".into()));
        assert_eq!(towards(&all[..1], "t"), Some("a:3128".into()));
        let login = [("https_proxy", "http://me:p%40ss@[::1]:8080")];
        assert_eq!(towards(&login, "t"), Some("me:p@ss@[::1]:8080".into()));
        let error = proxy(&[("ALL_PROXY", "socks5://secret@h:1")]).towards("t", 443).unwrap_err().to_string();
        assert!(error.contains("http:// proxies only") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn exceptions() {
        let none = "localhost, .example.com *.corp.test 10.0.0.0/8,fd00::/8,tun.example.net:443,other.test:8443";
        let variables = [("https_proxy", "http://p:1"), ("no_proxy", none)];
        for host in
            ["localhost", "example.com", "tun.EXAMPLE.com", "a.corp.test", "10.2.3.4", "fd00::1", "tun.example.net"]
        {
            assert_eq!(towards(&variables, host), None, "{host}");
        }
        for host in ["notexample.com", "11.0.0.1", "other.test", "example.net"] {
            assert!(towards(&variables, host).is_some(), "{host}");
        }
        assert_eq!(towards(&[("https_proxy", "p:1"), ("no_proxy", "*")], "x"), None);
    }

    #[test]
    fn addresses() {
        let split = |text| host_and_port(text, 443);
        assert_eq!(split("tun.example.com"), Some(("tun.example.com".into(), 443)));
        assert_eq!(split("1.2.3.4:8443"), Some(("1.2.3.4".into(), 8443)));
        assert_eq!(split("[::1]:8443"), Some(("::1".into(), 8443)));
        assert_eq!((split("::1"), split("[::1]")), (Some(("::1".into(), 443)), Some(("::1".into(), 443))));
        for wrong in ["", ":1", "a:b", "a:0", "a:70000", "a b", "a/b", "a\r\nb"] {
            assert_eq!(split(wrong), None, "{wrong:?}");
        }
    }
}
