use crate::client::Fault;
use std::net::{IpAddr, SocketAddr};

/// What a line that OpenSSH's client says at `LogLevel DEBUG1` means to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The server's software version (RFC 4253 section 4.2).
    Software(String),
    Authenticated {
        address: Option<SocketAddr>,
        method: String,
    },
    /// The forwarding to this local socket was granted; a port that the server chose comes as [`Heard::Allocated`].
    Granted {
        socket: String,
    },
    Refused {
        socket: String,
    },
    Allocated {
        socket: String,
        port: u16,
    },
    /// Somebody is about to connect by the forwarding of this address and port.
    Visitor {
        listen: String,
        port: u16,
        originator: SocketAddr,
    },
    Fault(Fault),
    /// Words for people.
    Words(String),
}

/// None for what is of no interest.
pub(super) fn heard(line: &str) -> Option<Heard> {
    let line = line.trim_end();
    if let Some(rest) = line.strip_prefix("debug1: ") {
        return debug(rest);
    }
    if let Some(rest) = line.strip_prefix("Authenticated to ") {
        let method = rest.rsplit_once("using \"").and_then(|(_, rest)| rest.split('"').next());
        let address = rest.split_once("([").and_then(|(_, rest)| {
            let (ip, rest) = rest.split_once("]:")?;
            let port = rest.split(')').next()?.parse().ok()?;
            Some(SocketAddr::new(ip.split('%').next()?.parse().ok()?, port))
        });
        return Some(Heard::Authenticated { address, method: method.unwrap_or_default().to_owned() });
    }
    if let Some(rest) = line.strip_prefix("Allocated port ") {
        let (port, rest) = rest.split_once(' ')?;
        let socket = socket(rest.strip_prefix("for remote forward to ")?)?;
        return Some(Heard::Allocated { socket, port: port.parse().ok()? });
    }
    if let Some(fault) = fault(line) {
        return Some(Heard::Fault(fault));
    }
    let uninteresting = line.is_empty()
        || line.starts_with("debug")
        || line.starts_with("Transferred:")
        || line.starts_with("Bytes per");
    (!uninteresting).then(|| Heard::Words(line.to_owned()))
}

fn debug(line: &str) -> Option<Heard> {
    if let Some((_, software)) = line.split_once("remote software version ") {
        return Some(Heard::Software(software.to_owned()));
    }
    if let Some(rest) = line.strip_prefix("remote forward success for: ") {
        return Some(Heard::Granted { socket: socket(rest.rsplit_once("connect ")?.1)? });
    }
    if let Some(rest) = line.strip_prefix("remote forward failure for: ") {
        return Some(Heard::Refused { socket: socket(rest.rsplit_once("connect ")?.1)? });
    }
    // Since OpenSSH 8.8 the function's name has parentheses in some builds.
    let (_, rest) = line.split_once("client_request_forwarded_tcpip")?;
    let (_, rest) = rest.split_once("listen ")?;
    let (listen, rest) = rest.split_once(" port ")?;
    let (port, rest) = rest.split_once(", originator ")?;
    let (ip, peer_port) = rest.split_once(" port ")?;
    let ip: IpAddr = ip.split('%').next()?.parse().ok()?;
    let originator = SocketAddr::new(ip.to_canonical(), peer_port.parse().ok()?);
    Some(Heard::Visitor { listen: listen.to_owned(), port: port.parse().ok()?, originator })
}

/// The path of the local socket; the port -2 stands for a unix socket.
fn socket(text: &str) -> Option<String> {
    text.strip_suffix(":-2").map(str::to_owned)
}

fn fault(line: &str) -> Option<Fault> {
    let lower = line.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let reason = || line.rsplit(": ").next().unwrap_or(line).trim_end_matches(['\r', '.']).to_owned();
    Some(
        if has("remote host identification has changed") || has("has changed and you have requested strict checking") {
            Fault::HostKeyChanged
        } else if has("host key is known for") || has("host key verification failed") {
            Fault::HostKeyUnknown
        } else if has("permission denied (") {
            let methods = line.rsplit_once('(').map_or("", |(_, rest)| rest.trim_end_matches(['.', ')']));
            Fault::Denied(format!("it offers {}", methods.replace(',', ", ")))
        } else if has("too many authentication failures") {
            Fault::Denied(
                "too many were shown: name the right one by `IdentityFile` and `IdentitiesOnly yes`".to_owned(),
            )
        } else if has("could not resolve hostname") {
            let name = line.split_once("hostname ").and_then(|(_, rest)| rest.split(':').next()).unwrap_or(line);
            Fault::UnknownName(name.to_owned())
        } else if lower.starts_with("ssh: connect to host")
            || has("kex_exchange_identification")
            || has("banner exchange")
        {
            Fault::Unreachable(reason())
        } else if has("timeout, server") {
            Fault::Lost("the server does not answer any more".to_owned())
        } else if lower.starts_with("connection to ") || lower.starts_with("connection closed") || has("client_loop: ")
        {
            Fault::Lost("the connection broke".to_owned())
        } else if let Some((_, words)) = line.split_once("Received disconnect from ") {
            // Address, port and reason's number come first.
            Fault::farewell(words.splitn(3, ':').last().unwrap_or(words))
        } else {
            return None;
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssh_says() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (line, meaning) in [
            (
                "debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1 Debian-2\r",
                Some(Heard::Software("OpenSSH_9.2p1 Debian-2".into())),
            ),
            (
                "Authenticated to vps.example.com ([192.0.2.7]:22) using \"publickey\".",
                Some(Heard::Authenticated { address: Some(address("192.0.2.7:22")), method: "publickey".into() }),
            ),
            (
                "Authenticated to inner (via proxy) using \"password\".",
                Some(Heard::Authenticated { address: None, method: "password".into() }),
            ),
            (
                "debug1: remote forward success for: listen *:42123, connect /tmp/x/0:-2",
                Some(Heard::Granted { socket: "/tmp/x/0".into() }),
            ),
            (
                "debug1: remote forward failure for: listen 80, connect /tmp/x/1:-2",
                Some(Heard::Refused { socket: "/tmp/x/1".into() }),
            ),
            (
                "Allocated port 44339 for remote forward to /tmp/x/0:-2",
                Some(Heard::Allocated { socket: "/tmp/x/0".into(), port: 44339 }),
            ),
            (
                "debug1: client_request_forwarded_tcpip: listen  port 42123, originator ::ffff:192.0.2.9 port 45488",
                Some(Heard::Visitor { listen: "".into(), port: 42123, originator: address("192.0.2.9:45488") }),
            ),
            ("debug1: Entering interactive session.", None),
            ("Welcome!", Some(Heard::Words("Welcome!".into()))),
        ] {
            assert_eq!(heard(line), meaning, "{line}");
        }
    }

    #[test]
    fn what_goes_wrong() {
        for (line, fault) in [
            ("Host key verification failed.", Fault::HostKeyUnknown),
            ("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", Fault::HostKeyChanged),
            ("me@h: Permission denied (publickey,password).", Fault::Denied("it offers publickey, password".into())),
            (
                "ssh: Could not resolve hostname nosuch.invalid: Name or service not known",
                Fault::UnknownName("nosuch.invalid".into()),
            ),
            ("ssh: connect to host h port 22: Connection refused", Fault::Unreachable("Connection refused".into())),
            (
                "Received disconnect from 127.0.0.1 port 42:11: a newer session took over",
                Fault::Lost("the server ended it: a newer session took over".into()),
            ),
        ] {
            assert_eq!(heard(line), Some(Heard::Fault(fault)), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(begin in 0..8_usize, rest in "\\PC{0,80}") {
            let begins = [
                "", "debug1: ", "Authenticated to ", "Allocated port ", "debug1: remote forward success for: ",
                "debug1: client_request_forwarded_tcpip: listen ", "Received disconnect from ", "x: Permission denied (",
            ];
            let _ = heard(&format!("{}{rest}", begins[begin]));
        }
    }
}
