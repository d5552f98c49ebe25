//! Addresses of upstreams.

use std::path::PathBuf;

use doorstep_model::{Upstream, UpstreamAddr, UpstreamProtocol};

/// What is wrong with an address, and the line that was probably meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) why: String,
    pub(crate) meant: Option<String>,
}

/// `http://host:port/base`, `https://…`, `h2c://…` (HTTP/2 in the clear), `h2://…` (HTTP/2 over TLS), `unix:/path`.
pub(crate) fn parse(text: &str) -> Result<Upstream, Malformed> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path, UpstreamProtocol::Http1);
    }
    if let Some(path) = text.strip_prefix("h2c+unix:") {
        return unix(path, UpstreamProtocol::Http2);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let meant = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("http://127.0.0.1:{text}")
        } else if text.starts_with('/') {
            format!("unix:{text}")
        } else {
            format!("http://{text}")
        };
        return Err(Malformed { why: "it has no `http://` in front".to_owned(), meant: Some(meant) });
    };
    let (tls, protocol, default_port) = match scheme {
        "http" => (false, UpstreamProtocol::Http1, 80),
        "https" => (true, UpstreamProtocol::Http1, 443),
        "h2c" => (false, UpstreamProtocol::Http2, 80),
        "h2" => (true, UpstreamProtocol::Http2, 443),
        "ws" | "wss" => {
            let plain = if scheme == "ws" { "http" } else { "https" };
            return fail("WebSockets pass through `http` and `https`", Some(format!("{plain}://{rest}")));
        }
        "grpc" => return fail("gRPC is HTTP/2", Some(format!("h2c://{rest}"))),
        other => {
            let why = format!("`{other}` is not spoken here; there are http, https, h2, h2c and unix");
            return Err(Malformed { why, meant: None });
        }
    };
    let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if base.contains(['?', '#']) || authority.contains(['?', '#']) {
        return fail("it has a query, which every request has of its own", None);
    }
    if authority.contains('@') {
        return fail("it has a user name in it; set an `Authorization` field with `request_headers`", None);
    }
    let (host, port) = host_and_port(authority, default_port)?;
    let authority = if port == default_port { bracketed(&host) } else { format!("{}:{port}", bracketed(&host)) };
    let mut upstream = Upstream::plain(UpstreamAddr::Tcp { host, port }, &authority);
    upstream.tls = tls;
    upstream.protocol = protocol;
    base.trim_end_matches('/').clone_into(&mut upstream.base_path);
    if base.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return fail("it has a blank in it", None);
    }
    Ok(upstream)
}

fn unix(path: &str, protocol: UpstreamProtocol) -> Result<Upstream, Malformed> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return fail("the path of a socket begins with `/`", None);
    }
    if path.len() > 107 {
        return fail("the path of a socket has at most 107 bytes", None);
    }
    let mut upstream = Upstream::plain(UpstreamAddr::Unix(PathBuf::from(path)), "localhost");
    upstream.protocol = protocol;
    Ok(upstream)
}

fn host_and_port(authority: &str, default_port: u16) -> Result<(String, u16), Malformed> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => (v6, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => default_port,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return fail(&format!("`{port}` is not a port: they go from 1 to 65535"), None),
        },
    };
    let literal = host.parse::<std::net::IpAddr>().is_ok();
    if !literal && let Err(error) = host.parse::<doorstep_model::Hostname>() {
        return fail(&format!("its host is not a name or address: {error}"), None);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn fail<T>(why: &str, meant: Option<String>) -> Result<T, Malformed> {
    Err(Malformed { why: why.to_owned(), meant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let https = parse("https://Api.example.com/v1/").unwrap();
        assert_eq!((https.tls, https.authority.as_str(), https.base_path.as_str()), (true, "api.example.com", "/v1"));
        assert_eq!(parse("http://[::1]:3000").unwrap().authority, "[::1]:3000");
        assert_eq!(parse("h2c://10.0.0.1:50051").unwrap().protocol, UpstreamProtocol::Http2);
        assert_eq!(parse("unix:/run/a.sock").unwrap().addr, UpstreamAddr::Unix("/run/a.sock".into()));
    }

    #[test]
    fn what_was_meant() {
        for (bad, meant) in [
            ("3000", Some("http://127.0.0.1:3000")),
            ("localhost:3000", Some("http://localhost:3000")),
            ("/run/a.sock", Some("unix:/run/a.sock")),
            ("ws://a/b", Some("http://a/b")),
            ("ftp://a", None),
            ("http://a:0", None),
            ("http://a?b", None),
            ("http://u:p@a", None),
            ("http://", None),
            ("unix:a", None),
        ] {
            assert_eq!(parse(bad).unwrap_err().meant.as_deref(), meant, "{bad}");
        }
    }
}
