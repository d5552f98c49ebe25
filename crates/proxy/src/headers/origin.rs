//! The two addresses of one app: the one that visitors use, and the one that the app believes to have.

use std::borrow::Cow;

use doorstep_http::Request;
use doorstep_model::{Upstream, UpstreamAddr};

/// Translates addresses between a visitor and the app.
#[derive(Debug)]
pub struct Origins {
    /// `http` or `https`.
    scheme: &'static str,
    /// Host and port as the app is told, lower case, default port left out.
    authority: String,
    /// Its other names: a loopback address and `localhost` are the same place.
    aliases: Vec<String>,
    /// `http://localhost:8000`.
    own: String,
    base_path: String,
}

/// What an `Origin` or `Referer` becomes.
#[derive(Debug, PartialEq, Eq)]
pub enum Presented {
    /// The visitor's own page: the app is shown its own address.
    Own(String),
    /// Somebody else's page: as it is.
    Foreign,
    /// Somebody else's page that would pass for the app's own, because it has the app's address where the visitor is.
    Disguised,
}

impl Origins {
    pub fn new(upstream: &Upstream) -> Self {
        let scheme = if upstream.tls { "https" } else { "http" };
        let authority = normal(scheme, &upstream.authority);
        let (host, port) = split(&authority);
        let mut aliases = Vec::new();
        if is_loopback(host) {
            aliases.extend(["localhost", "127.0.0.1", "[::1]", "0.0.0.0"].iter().map(|name| join(name, port)));
        }
        if let UpstreamAddr::Tcp { host, port } = &upstream.addr {
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
            aliases.push(normal(scheme, &format!("{host}:{port}")));
        }
        aliases.retain(|alias| *alias != authority);
        aliases.dedup();
        Self {
            own: format!("{scheme}://{authority}"),
            scheme,
            authority,
            aliases,
            base_path: upstream.base_path.clone(),
        }
    }

    /// The app's own origin, such as `http://localhost:8000`.
    pub fn own(&self) -> &str {
        &self.own
    }

    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The names of the app's host, without ports.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.authority).chain(&self.aliases).map(|own| split(own).0)
    }

    /// What the app is shown of an `Origin` or `Referer` sent by the visitor.
    pub fn present(&self, value: &str, request: &Request) -> Presented {
        let Some((scheme, authority, rest)) = parse(value) else { return Presented::Foreign };
        let authority = normal(scheme, authority);
        if scheme.eq_ignore_ascii_case(request.scheme()) && authority == normal(scheme, &request.authority) {
            let base = if rest.is_empty() { "" } else { &self.base_path };
            return Presented::Own(format!("{}{base}{rest}", self.own));
        }
        if self.is_own(&authority) { Presented::Disguised } else { Presented::Foreign }
    }

    /// A reference in a response, such as a `Location`, as the visitor can follow it; `None` if it is right already.
    pub fn reference(&self, value: &str, request: &Request) -> Option<String> {
        if let Some((scheme, authority, rest)) = parse(value) {
            if request.authority.is_empty() || !self.is_own(&normal(scheme, authority)) {
                return None;
            }
            // An app that insists on https: by the same name, though at a scheme that we may not speak.
            let scheme = if scheme.eq_ignore_ascii_case(self.scheme) { request.scheme() } else { scheme };
            return Some(format!("{scheme}://{}{}", request.authority, self.rooted(rest)));
        }
        if let Some(after) = value.strip_prefix("//") {
            let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
            return (!request.authority.is_empty() && self.is_own(&normal(self.scheme, authority)))
                .then(|| format!("//{}{}", request.authority, self.rooted(rest)));
        }
        let shorter = self.rooted(value);
        (shorter != value).then(|| shorter.into_owned())
    }

    fn rooted<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let shorter = self.without_base(path);
        if shorter.len() == path.len() || shorter.starts_with('/') {
            Cow::Borrowed(shorter)
        } else {
            Cow::Owned(format!("/{shorter}"))
        }
    }

    /// A path of the app as the visitor sees it.
    pub fn without_base<'a>(&self, path: &'a str) -> &'a str {
        if self.base_path.is_empty() {
            return path;
        }
        match path.strip_prefix(self.base_path.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => rest,
            _ => path,
        }
    }

    fn is_own(&self, authority: &str) -> bool {
        self.authority == authority || self.aliases.iter().any(|alias| alias == authority)
    }
}

/// Scheme, authority, and what follows, of an http or https URL.
fn parse(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, after) = url.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return None;
    }
    let (authority, rest) = after.split_at(after.find(['/', '?', '#', '\\']).unwrap_or(after.len()));
    Some((scheme, authority, rest))
}

/// Lower case, without the scheme's default port.
fn normal(scheme: &str, authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    match lower.strip_suffix(default) {
        // `[::80]`-like hosts end with their bracket, so what is stripped is a port.
        Some(host) => host.to_owned(),
        None => lower,
    }
}

/// The host of an authority, without its port.
pub fn host_of(authority: &str) -> &str {
    split(authority).0
}

fn split(authority: &str) -> (&str, Option<&str>) {
    let from = authority.rfind(']').unwrap_or(0);
    match authority.get(from..).and_then(|rest| rest.find(':')) {
        Some(at) => (authority.get(..from + at).unwrap_or_default(), authority.get(from + at + 1..)),
        None => (authority, None),
    }
}

fn join(host: &str, port: Option<&str>) -> String {
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "[::1]" || host.starts_with("127.") || host == "0.0.0.0"
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn upstream(url: &str) -> Upstream {
        let (scheme, authority, base) = parse(url).unwrap();
        let (host, port) = split(authority);
        let default = if scheme == "https" { 443 } else { 80 };
        Upstream {
            addr: UpstreamAddr::Tcp {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.map_or(default, |port| port.parse().unwrap()),
            },
            tls: scheme == "https",
            insecure: false,
            authority: authority.to_owned(),
            base_path: base.to_owned(),
            protocol: doorstep_model::UpstreamProtocol::Http1,
            server_name: None,
            roots: None,
        }
    }

    pub fn visitor(authority: &str, tls: bool) -> Request {
        let mut request = Request::get("/");
        request.authority = authority.to_owned();
        if tls {
            let mut conn = (*request.conn).clone();
            conn.tls = Some(doorstep_net::TlsInfo::default());
            request.conn = conn.into();
        }
        request
    }

    #[test]
    fn references_come_back_under_the_visitors_address() {
        let origins = Origins::new(&upstream("http://localhost:8000"));
        let request = visitor("my-laptop.local:8080", false);
        let table = [
            ("http://localhost:8000/login?next=/", Some("http://my-laptop.local:8080/login?next=/")),
            ("http://127.0.0.1:8000/x", Some("http://my-laptop.local:8080/x")),
            ("http://[::1]:8000/x", Some("http://my-laptop.local:8080/x")),
            ("HTTP://LOCALHOST:8000", Some("http://my-laptop.local:8080")),
            ("//localhost:8000/x", Some("//my-laptop.local:8080/x")),
            ("https://localhost:8000/x", Some("https://my-laptop.local:8080/x")),
            ("http://localhost:9000/x", None),
            ("http://localhost:80001/x", None),
            ("http://localhost:8000.example.com/x", None),
            ("http://localhost:8000@example.com/x", None),
            ("https://accounts.example.com/?to=http://localhost:8000/", None),
            ("/relative", None),
            ("relative", None),
            ("", None),
        ];
        for (sent, expected) in table {
            assert_eq!(origins.reference(sent, &request).as_deref(), expected, "{sent}");
        }
        let secure = visitor("my-laptop.local:8443", true);
        let seen = origins.reference("http://localhost:8000/", &secure);
        assert_eq!(seen.as_deref(), Some("https://my-laptop.local:8443/"));
        let remote = Origins::new(&upstream("https://example.com"));
        let seen = remote.reference("https://example.com:443/a", &request);
        assert_eq!(seen.as_deref(), Some("http://my-laptop.local:8080/a"));
    }

    #[test]
    fn base_paths_are_taken_off() {
        let origins = Origins::new(&upstream("http://localhost:8000/app"));
        let request = visitor("h:1", false);
        let table = [
            ("/app/x", Some("/x")),
            ("/app", Some("/")),
            ("/app?x", Some("/?x")),
            ("/application", None),
            ("/other", None),
            ("http://localhost:8000/app/x", Some("http://h:1/x")),
        ];
        for (sent, expected) in table {
            assert_eq!(origins.reference(sent, &request).as_deref(), expected, "{sent}");
        }
    }

    #[test]
    fn own_pages_look_like_the_apps_own_and_foreign_ones_do_not() {
        let origins = Origins::new(&upstream("http://localhost:8000"));
        let request = visitor("my-laptop.local:8080", false);
        let own = |text: &str| Presented::Own(text.to_owned());
        assert_eq!(origins.present("http://my-laptop.local:8080", &request), own("http://localhost:8000"));
        assert_eq!(origins.present("http://my-laptop.local:8080/a?b", &request), own("http://localhost:8000/a?b"));
        assert_eq!(origins.present("https://my-laptop.local:8080", &request), Presented::Foreign);
        assert_eq!(origins.present("http://my-laptop.local", &request), Presented::Foreign);
        assert_eq!(origins.present("http://evil.example", &request), Presented::Foreign);
        assert_eq!(origins.present("null", &request), Presented::Foreign);
        assert_eq!(origins.present("http://localhost:8000", &request), Presented::Disguised);
        assert_eq!(origins.present("http://127.0.0.1:8000/x", &request), Presented::Disguised);
        let plain = visitor("h", false);
        assert_eq!(origins.present("http://h:80", &plain), own("http://localhost:8000"));
        let local = visitor("localhost:8000", false);
        assert_eq!(origins.present("http://localhost:8000", &local), own("http://localhost:8000"));
    }
}
