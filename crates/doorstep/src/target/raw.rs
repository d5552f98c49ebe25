//! Targets that are no web apps: a TCP or UDP port, as it is. They are lent through a tunnel and not listened for here.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use doorstep_model::{Hostname, Lent, UpstreamAddr, Via, ip_literal};
use doorstep_tunnel::is_forbidden;

use crate::args::ShareArgs;
use crate::exit::{Code, Failure, cause};
use crate::screen::Kind;

/// What is lent as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Raw {
    /// As given on the command line.
    pub given: String,
    pub kind: Kind,
    /// For a person: `tcp://localhost:22`.
    pub title: String,
    pub lent: Lent,
}

/// The target if it is one of these: `tcp:22`, `tcp:HOST:22`, `tcp://HOST:22`, `udp:…`, or a port with `--tcp` or `--udp`.
///
/// # Errors
/// [`Code::Usage`] for what makes no sense, [`Code::Target`] for what cannot be found.
pub fn resolve(args: &ShareArgs) -> Result<Option<Raw>, Failure> {
    let Some(word) = args.target.as_deref().and_then(OsStr::to_str) else {
        return match args.tcp || args.udp {
            true => {
                Err(Failure::new(Code::Usage, "--tcp and --udp want a port").fix("doorstep share 22 --tcp --via …"))
            }
            false => Ok(None),
        };
    };
    let scheme = |name: &str| {
        let rest = word.strip_prefix(name)?.strip_prefix(':')?;
        Some(rest.strip_prefix("//").unwrap_or(rest).trim_end_matches('/'))
    };
    let (kind, place) = match (scheme("tcp"), scheme("udp")) {
        (Some(place), _) if !args.udp => (Kind::Tcp, place),
        (_, Some(place)) if !args.tcp => (Kind::Udp, place),
        (None, None) if args.tcp => (Kind::Tcp, word),
        (None, None) if args.udp => (Kind::Udp, word),
        (None, None) => return Ok(None),
        _ => return Err(Failure::new(Code::Usage, format!("{word} is not what --tcp or --udp says"))),
    };
    if args.via.is_empty() {
        return Err(Failure::new(Code::Usage, format!("{word} needs --via"))
            .because("In this network its own port can be reached already.")
            .fix(format!("doorstep share {word} --via tun.example.com")));
    }
    if kind == Kind::Udp && !args.via.iter().any(|via| matches!(via, Via::Relay { .. })) {
        return Err(Failure::new(Code::Usage, "UDP goes by a doorstep relay only")
            .because("ssh and PageKite carry no datagrams.")
            .fix(format!("doorstep share {word} --via tun.example.com")));
    }
    let (host, port) = place_of(word, place)?;
    let (lent, title) = match kind {
        Kind::Udp => {
            let to = udp_address(&host, port)?;
            (Lent::Udp { to, port: args.remote_port.unwrap_or(0) }, format!("udp://{}", shown(&host, port)))
        }
        _ => {
            let to = UpstreamAddr::Tcp { host: host.clone(), port };
            (
                Lent::Tcp { to, port: args.remote_port.unwrap_or(0), proxy_header: false },
                format!("tcp://{}", shown(&host, port)),
            )
        }
    };
    Ok(Some(Raw { given: word.to_owned(), kind, title, lent }))
}

fn place_of(word: &str, place: &str) -> Result<(String, u16), Failure> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host.trim_start_matches('[').trim_end_matches(']'), port),
        None => ("localhost", place),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => {
            return Err(Failure::new(Code::Usage, format!("{word} names no port: ports go from 1 to 65535"))
                .fix("doorstep share tcp:22 --via …"));
        }
    };
    match ip_literal(host).or_else(|| host.parse().ok()) {
        Some(ip) if is_forbidden(ip) => Err(never_lent(ip)),
        Some(_) => Ok((host.to_owned(), port)),
        None => match host.parse::<Hostname>() {
            Ok(name) => Ok((name.to_string(), port)),
            Err(error) => Err(Failure::new(Code::Usage, format!("{host:?} is not a host name: {error}"))),
        },
    }
}

fn udp_address(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = (host, port).to_socket_addrs();
    let mut found: Vec<SocketAddr> = found
        .map_err(|error| Failure::new(Code::Target, format!("{host} cannot be found: {}", cause(&error))))?
        .collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| Failure::new(Code::Target, format!("{host} has no address")))
}

fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The refusal for addresses of which [`is_forbidden`] is true.
pub fn never_lent(ip: IpAddr) -> Failure {
    Failure::new(Code::Usage, format!("{ip} is never lent"))
        .because("At such addresses computers of a cloud hand out their own keys.")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(line: &str) -> Result<Option<Raw>, Failure> {
        let cli = Cli::try_parse_from(format!("doorstep share {line}").split(' ')).unwrap();
        let Some(Command::Share(args)) = cli.command else { panic!() };
        resolve(&args)
    }

    #[test]
    fn ports_are_read_by_scheme_or_flag() {
        for (line, title) in [
            ("tcp:22 --via a.example", "tcp://localhost:22"),
            ("tcp://nas.local:22 --via a.example", "tcp://nas.local:22"),
            ("tcp:[::1]:22 --via a.example", "tcp://[::1]:22"),
            ("22 --tcp --via a.example", "tcp://localhost:22"),
            ("192.168.1.5:22 --tcp --via a.example", "tcp://192.168.1.5:22"),
            ("udp:127.0.0.1:51820 --via a.example", "udp://127.0.0.1:51820"),
            ("51820 --udp --via a.example", "udp://localhost:51820"),
        ] {
            assert_eq!(read(line).unwrap().unwrap().title, title, "{line}");
        }
        let raw = read("tcp:22 --via a.example --remote-port 20022").unwrap().unwrap();
        assert!(matches!(raw.lent, Lent::Tcp { port: 20_022, .. }));
        assert_eq!(read("8000 --via a.example"), Ok(None));
        assert_eq!(read("photos"), Ok(None));
    }

    #[test]
    fn what_cannot_be_lent_is_told_why() {
        for (line, words) in [
            ("tcp:22", "needs --via"),
            ("udp:53 --via ssh://a.example", "doorstep relay only"),
            ("tcp:0 --via a.example", "names no port"),
            ("tcp:ssh --via a.example", "names no port"),
            ("--tcp --via a.example", "want a port"),
            ("udp:53 --tcp --via a.example", "is not what"),
            ("tcp:169.254.169.254:80 --via a.example", "never lent"),
        ] {
            let failure = read(line).unwrap_err();
            assert!(failure.what.contains(words), "{line}: {failure}");
        }
    }
}
