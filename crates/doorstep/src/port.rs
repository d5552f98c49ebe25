//! Which addresses and which port to listen on.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use doorstep_model::{Blame, Finding, Severity};
use doorstep_net::{BindError, ListenerGroup};
use doorstep_reach::ports::port_owner;

use crate::args::ShareArgs;
use crate::exit::{Code, Failure};
use crate::limits;

const DEFAULT: u16 = 8080;

/// Addresses that were free a moment ago.
#[derive(Debug)]
pub struct Choice {
    pub addresses: Vec<SocketAddr>,
    pub port: u16,
    /// That the default port was taken, and by whom.
    pub finding: Option<Finding>,
}

/// Chooses by `--bind`, `--local` and `--port`.
///
/// # Errors
/// [`Code::Listen`], with the owner of a taken port where it can be found.
pub fn choose(args: &ShareArgs) -> Result<Choice, Failure> {
    // A computer may lack one family, so of the addresses that nobody asked for by name, one is enough.
    let (ips, strict) = match (args.local, args.bind.as_slice()) {
        (true, _) => (vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)], false),
        (false, []) => (vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)], false),
        (false, asked) => (asked.to_vec(), true),
    };
    match args.port {
        Some(0) => any(&ips, strict),
        Some(port) => {
            let addresses = try_port(&ips, port, strict).map_err(|error| explain(&error))?;
            Ok(Choice { addresses, port, finding: None })
        }
        None => first_free(&ips, strict, DEFAULT),
    }
}

fn first_free(ips: &[IpAddr], strict: bool, from: u16) -> Result<Choice, Failure> {
    let mut finding = None;
    let mut last = None;
    for port in from..from.saturating_add(limits::PORTS_TRIED) {
        match try_port(ips, port, strict) {
            Ok(addresses) => return Ok(Choice { addresses, port, finding: finding.map(|taken| moved(taken, port)) }),
            Err(error) if error.in_use() => {
                finding.get_or_insert(port);
                last = Some(error);
            }
            Err(error) => return Err(explain(&error)),
        }
    }
    let last = last.map(|error| explain(&error).why).unwrap_or_default();
    let what = format!("no port from {from} to {} is free", from + limits::PORTS_TRIED - 1);
    Err(Failure::new(Code::Listen, what).because(last).fix("Name one: --port N, or --port 0 for any."))
}

/// Any free port, the same for every address.
fn any(ips: &[IpAddr], strict: bool) -> Result<Choice, Failure> {
    const TRIES: u32 = 20;
    let mut last = None;
    for _ in 0..TRIES {
        let first = ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let group = ListenerGroup::bind(SocketAddr::new(first, 0), 1).map_err(|error| explain(&error))?;
        let port = group.address.port();
        drop(group);
        match try_port(ips, port, strict) {
            Ok(addresses) => return Ok(Choice { addresses, port, finding: None }),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Failure::new(Code::Listen, "no port is free"), |error| explain(&error)))
}

/// Binds all of `ips` at once, to see whether that works, and lets go.
fn try_port(ips: &[IpAddr], port: u16, strict: bool) -> Result<Vec<SocketAddr>, BindError> {
    let mut groups = Vec::new();
    let mut missing = None;
    for ip in ips {
        match ListenerGroup::bind(SocketAddr::new(*ip, port), 1) {
            Ok(group) => groups.push(group),
            Err(error) if strict || error.in_use() || error.source.kind() == ErrorKind::PermissionDenied => {
                return Err(error);
            }
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) if groups.is_empty() => Err(error),
        _ => Ok(groups.into_iter().map(|group| group.address).collect()),
    }
}

/// Why an address cannot be listened on, in words.
pub fn explain(error: &BindError) -> Failure {
    let port = error.address.port();
    match error.source.kind() {
        ErrorKind::AddrInUse => {
            let failure = Failure::new(Code::Listen, format!("port {port} is taken{}", by(port)));
            failure.fix("Choose another with --port N, or leave --port out for the next free one.")
        }
        ErrorKind::PermissionDenied if port < 1024 => {
            Failure::new(Code::Listen, format!("you may not listen on port {port}"))
                .because("On this computer, ports below 1024 are for the administrator.")
                .fix("Use one from 1024 up, such as --port 8080.")
        }
        ErrorKind::AddrNotAvailable => {
            Failure::new(Code::Listen, format!("{} is not an address of this computer", error.address.ip()))
                .fix("Leave --bind out to listen on all, or see what there is: ip address")
        }
        _ => Failure::new(Code::Listen, error.to_string()),
    }
}

/// The same for `doorstep up`, where the file says what is listened on.
pub fn explain_configured(error: &BindError) -> Failure {
    let mut failure = explain(error);
    failure.fix = match error.source.kind() {
        ErrorKind::AddrInUse => {
            "Stop it, or name other addresses: --http and --https of `doorstep relay`, [listen] in doorstep.toml with http = \":8080\" and https = \":8443\"."
        }
        ErrorKind::PermissionDenied => "Leave [listen] out for ports 8080 and 8443, or start doorstep as root.",
        ErrorKind::AddrNotAvailable => "See which there are with `ip address`, or write \":80\" for all of them.",
        _ => "",
    }
    .to_owned();
    failure
}

/// Who holds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A worker whose daemon was killed: it lets go of the port by itself.
    Orphan,
    Other,
    /// It belongs to somebody whose processes we may not see, or has just been let go of.
    Unknown,
}

pub fn holder(port: u16) -> Holder {
    let Some(owner) = port_owner(port) else { return Holder::Unknown };
    let parent = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).ok().and_then(|stat| {
        // The name in parentheses may hold anything; the state and the parent follow it.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1).map(str::to_owned)
    });
    let is_doorstep = |name: &str| name.starts_with("doorstep");
    let of_doorstep = parent.and_then(|parent| std::fs::read_to_string(format!("/proc/{parent}/comm")).ok());
    let is_orphan = is_doorstep(&owner.name) && !of_doorstep.is_some_and(|name| is_doorstep(name.trim()));
    if is_orphan { Holder::Orphan } else { Holder::Other }
}

fn by(port: u16) -> String {
    port_owner(port).map_or_else(String::new, |owner| format!(" by {} (process {})", owner.name, owner.pid))
}

fn moved(taken: u16, port: u16) -> Finding {
    Finding {
        severity: Severity::Note,
        blame: Blame::Environment,
        id: "port-taken",
        what: format!("Port {taken} is taken{}; this is port {port}.", by(taken)),
        why: String::new(),
        fix: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let other = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let failure = explain(&try_port(&[LOOPBACK], port, true).unwrap_err());
        assert_eq!(failure.code, Code::Listen);
        assert!(failure.what.starts_with(&format!("port {port} is taken")), "{failure}");
        assert!(failure.what.contains(&format!("process {}", std::process::id())), "{failure}");
    }

    #[test]
    fn the_next_free_port_is_taken_and_said_so() {
        let other = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let Ok(choice) = first_free(&[LOOPBACK], true, port) else { return };
        assert!(choice.port > port);
        assert!(choice.finding.unwrap().what.starts_with(&format!("Port {port} is taken")));
    }

    #[test]
    fn any_port_is_the_same_for_all_addresses() {
        let choice = any(&[LOOPBACK, IpAddr::V6(Ipv6Addr::LOCALHOST)], false).unwrap();
        assert!(choice.port > 0);
        assert!(choice.addresses.iter().all(|address| address.port() == choice.port));
    }

    #[test]
    fn a_foreign_address_is_an_error() {
        let foreign: IpAddr = "192.0.2.1".parse().unwrap();
        let failure = explain(&try_port(&[foreign], 0, true).unwrap_err());
        assert!(failure.what.contains("192.0.2.1 is not an address of this computer"), "{failure}");
    }
}
