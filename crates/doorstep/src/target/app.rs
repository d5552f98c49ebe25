//! Targets that are programs: a port, HOST:PORT, a URL, a unix socket.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use doorstep_model::{Blame, Finding, Hostname, Severity, Upstream, UpstreamAddr, ip_literal};
use doorstep_reach::ports::{Listening, loopback_listeners};

use crate::exit::{Code, Failure, cause};
use crate::limits;

/// `8000`: an app on this computer, whichever of its loopback addresses it listens on.
pub fn port(text: &str) -> Result<Upstream, Failure> {
    host_port("localhost", text)
}

/// `HOST:PORT`.
pub fn host_port(host: &str, port: &str) -> Result<Upstream, Failure> {
    let port = number(port)?;
    upstream(host, Some(port), false, "")
}

/// `unix:PATH`.
pub fn unix(path: &str) -> Result<Upstream, Failure> {
    if path.is_empty() {
        return Err(Failure::new(Code::Usage, "unix: needs a path, such as unix:/run/app.sock"));
    }
    Ok(Upstream {
        addr: UpstreamAddr::Unix(path.into()),
        tls: false,
        insecure: false,
        authority: "localhost".to_owned(),
        base_path: String::new(),
        protocol: doorstep_model::UpstreamProtocol::Http1,
        server_name: None,
        roots: None,
    })
}

/// `http://HOST[:PORT][/PATH]`, or with `https` (RFC 9110 section 4.2).
pub fn url(text: &str) -> Result<Upstream, Failure> {
    let nonsense = |why: &str| {
        let shown = if text.contains('@') { "this URL" } else { text };
        Failure::new(Code::Usage, format!("{shown} cannot be shared: {why}"))
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        "file" => return Err(nonsense("for files, give the path alone").fix(format!("doorstep share {rest}"))),
        _ => return Err(nonsense("a URL starts with http:// or https://")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(nonsense("a user name or password in it would be sent for every visitor"));
    }
    if path.contains(['?', '#']) {
        return Err(nonsense("it stands for all addresses beneath it, so it has no query (?) and no fragment (#)"));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
        return Err(nonsense(&format!("{bad:?} cannot stand in a URL")));
    }
    if authority.starts_with('[') && !authority.contains(']') {
        return Err(nonsense("the closing bracket of the IPv6 address is missing"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(number(port)?)),
        _ => (authority, None),
    };
    upstream(host, port, tls, path.trim_end_matches('/'))
}

fn number(text: &str) -> Result<u16, Failure> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Failure::new(Code::Usage, format!("{text} is not a port: ports go from 1 to 65535"))),
    }
}

fn upstream(host: &str, port: Option<u16>, tls: bool, base_path: &str) -> Result<Upstream, Failure> {
    let usual = if tls { 443 } else { 80 };
    let (plain, bracketed) = match ip_literal(host) {
        Some(IpAddr::V6(ip)) => (ip.to_string(), format!("[{ip}]")),
        Some(ip) => (ip.to_string(), ip.to_string()),
        None if host.is_empty() => return Err(Failure::new(Code::Usage, "there is no host in the address")),
        None => match host.parse::<Hostname>() {
            Ok(name) => (name.to_string(), name.to_string()),
            Err(error) => return Err(Failure::new(Code::Usage, format!("{host:?} is not a host name: {error}"))),
        },
    };
    let port = port.unwrap_or(usual);
    Ok(Upstream {
        addr: UpstreamAddr::Tcp { host: plain, port },
        tls,
        insecure: false,
        authority: if port == usual { bracketed } else { format!("{bracketed}:{port}") },
        base_path: base_path.to_owned(),
        protocol: doorstep_model::UpstreamProtocol::Http1,
        server_name: None,
        roots: None,
    })
}

/// How the app is called on the screen, and a warning if nothing answers there.
pub fn look(upstream: &Upstream) -> (String, Vec<Finding>) {
    let scheme = if upstream.tls { "https" } else { "http" };
    let title = |authority: &str| format!("{scheme}://{authority}{}", upstream.base_path);
    match &upstream.addr {
        UpstreamAddr::Unix(path) => {
            let failed = UnixStream::connect(path).err();
            (format!("unix:{}", path.display()), failed.map(|error| unix_silent(path, &error)).into_iter().collect())
        }
        UpstreamAddr::Tcp { host, port } => match reach(host, *port) {
            // The number says which of this computer's two loopback addresses it is.
            Ok(address) if host == "localhost" => (title(&address.to_string()), Vec::new()),
            Ok(_) => (title(&upstream.authority), Vec::new()),
            Err(error) => (title(&upstream.authority), vec![silent(host, *port, &error)]),
        },
    }
}

/// Connects to the first address that lets us, within [`limits::APP_LOOK`].
fn reach(host: &str, port: u16) -> std::io::Result<SocketAddr> {
    let end = Instant::now() + limits::APP_LOOK;
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    for address in addresses {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn silent(host: &str, port: u16, error: &std::io::Error) -> Finding {
    let local = host == "localhost" || ip_literal(host).is_some_and(|ip| ip.is_loopback());
    let what = match error.kind() {
        ErrorKind::ConnectionRefused if local => format!("Nothing listens on port {port} of this computer yet."),
        ErrorKind::ConnectionRefused => format!("Nothing listens on port {port} of {host} yet."),
        _ => format!("{host}:{port} does not answer: {}.", cause(error)),
    };
    let running = if local { listening(&loopback_listeners()) } else { String::new() };
    app_down(what, &format!("Start the app, or share another port{running}."))
}

/// What could have been meant instead: `: 3000 (node), 5173 (vite)`. Empty if nothing else listens.
fn listening(apps: &[Listening]) -> String {
    let name = |app: &Listening| {
        let process = app.process.as_ref().map(|process| format!(" ({})", process.name));
        format!("{}{}", app.port, process.unwrap_or_default())
    };
    let named: Vec<String> = apps.iter().take(limits::APPS_NAMED).map(name).collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

fn unix_silent(path: &Path, error: &std::io::Error) -> Finding {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => app_down(format!("There is no socket {path} yet."), "Start the app."),
        ErrorKind::PermissionDenied => app_down(
            format!("You may not connect to the socket {path}."),
            "Let your user or group write to it, or run doorstep as the app's user.",
        ),
        _ => app_down(format!("Nothing answers at the socket {path}: {}.", cause(error)), "Start the app."),
    }
}

fn app_down(what: String, fix: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        blame: Blame::Upstream,
        id: "app-down",
        what,
        why: "Visitors see a page that says so; it reloads by itself when the app answers.".to_owned(),
        fix: fix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use doorstep_reach::ports::Process;

    use super::*;

    #[test]
    fn running_apps_are_offered() {
        let app = |port, name: Option<&str>| Listening {
            port,
            process: name.map(|name| Process { pid: 1, name: name.to_owned(), command_line: String::new() }),
        };
        assert_eq!(listening(&[]), "");
        assert_eq!(listening(&[app(3000, Some("node")), app(5000, None)]), ": 3000 (node), 5000");
        assert_eq!(listening(&vec![app(3000, None); 50]).matches("3000").count(), limits::APPS_NAMED);
    }

    #[test]
    fn names_the_loopback_address_that_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (title, findings) = look(&super::port(&port.to_string()).unwrap());
        assert_eq!((title, findings.len()), (format!("http://127.0.0.1:{port}"), 0));
    }

    #[test]
    fn a_silent_app_is_a_warning() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let (title, findings) = look(&super::port(&port.to_string()).unwrap());
        assert_eq!(title, format!("http://localhost:{port}"));
        assert_eq!(findings[0].what, format!("Nothing listens on port {port} of this computer yet."));
        let (title, findings) = look(&unix("/no/such/socket").unwrap());
        assert_eq!(title, "unix:/no/such/socket");
        assert_eq!(findings[0].what, "There is no socket /no/such/socket yet.");
    }
}
