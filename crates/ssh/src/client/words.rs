//! What people are told about a server that lends ports or names.

use doorstep_proto::tunnel::Claim;

use super::probe::Reach;

pub(super) const FORWARDING_FORBIDDEN: &str =
    "the server forbids forwarding; its owner has to put `AllowTcpForwarding yes` into its sshd_config";

pub(super) fn port_refused(port: u16) -> String {
    let low = if port < 1024 { "; ports below 1024 are for root only" } else { "" };
    format!("port {port} is in use on the server, or it does not allow forwarding{low}")
}

/// Where visitors reach a port of a server.
pub(super) fn address(claim: &Claim, host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (claim, port) {
        (Claim::Http { .. }, 80) => format!("http://{host}"),
        (Claim::Http { .. }, _) => format!("http://{host}:{port}"),
        (Claim::Tls { .. }, 443) => format!("https://{host}"),
        (Claim::Tls { .. }, _) => format!("https://{host}:{port}"),
        (Claim::Tcp { .. } | Claim::Udp { .. }, _) => format!("tcp://{host}:{port}"),
    }
}

/// Why a port that was granted is of no use to visitors, and what mends it.
pub(super) fn unreached(reach: &Reach, claim: &Claim, host: &str, port: u16, command: &str) -> String {
    let here = port.max(8000);
    let by_hand = format!(
        "Until then, whoever has an account there reaches it so: {} and then {}",
        command.replacen("ssh ", &format!("ssh -L {here}:localhost:{port} "), 1),
        address(claim, "localhost", here),
    );
    match reach {
        Reach::Ours => String::new(),
        Reach::Closed => format!(
            "{host} took port {port} for itself only, so no visitor reaches it. Its owner has to put this line into \
             /etc/ssh/sshd_config and reload sshd: GatewayPorts clientspecified (or let a web server there pass a name on to \
             http://127.0.0.1:{port}). {by_hand}"
        ),
        Reach::Silent => format!(
            "Port {port} of {host} does not answer from here: a firewall there, or of its provider, drops what comes in. Its \
             owner has to open TCP port {port}. {by_hand}"
        ),
        Reach::Another => format!(
            "Something answers at port {port} of {host}, but it is not this computer: another program has the public address, and \
             sshd only the inner one. Ask for another port, or its owner for GatewayPorts clientspecified. {by_hand}"
        ),
        Reach::UnknownName => format!(
            "The name {host} leads nowhere from here, so it is not known whether visitors reach its port {port}. {by_hand}"
        ),
    }
}

/// Which of the addresses that a server printed belongs to which target. Servers print them in the order of the requests;
/// of several for one name, https is taken.
pub(super) fn of_targets<'a>(urls: &[String], claims: impl Iterator<Item = &'a Claim>) -> Vec<(usize, String)> {
    let (mut web, mut ports) = (Vec::<&str>::new(), Vec::<&str>::new());
    for url in urls {
        let Some((scheme, rest)) = url.split_once("://") else { continue };
        if !matches!(scheme, "http" | "https") {
            ports.push(url);
            continue;
        }
        let host = |url: &str| {
            let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
            authority.split(['/', ':']).next().unwrap_or_default().to_owned()
        };
        match web.iter_mut().find(|known| host(known) == host(rest)) {
            Some(known) if known.starts_with("http:") && scheme == "https" => *known = url,
            Some(_) => {}
            None => web.push(url),
        }
    }
    let (mut web, mut ports) = (web.into_iter(), ports.into_iter());
    let address = |(target, claim): (usize, &Claim)| {
        let url = match claim {
            Claim::Http { .. } | Claim::Tls { .. } => web.next(),
            Claim::Tcp { .. } => ports.next(),
            Claim::Udp { .. } => None,
        };
        Some((target, url?.to_owned()))
    };
    claims.enumerate().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_find_their_targets() {
        let http = Claim::Http { name: String::new(), label: String::new() };
        let urls = ["http://a.example.net", "https://a.example.net", "tcp://example.net:4000", "https://b.example.net"];
        let urls = urls.map(str::to_owned);
        let claims = [http.clone(), Claim::Tcp { port: 0 }, http];
        let found = of_targets(&urls, claims.iter());
        let expected = [(0, "https://a.example.net"), (1, "tcp://example.net:4000"), (2, "https://b.example.net")];
        assert_eq!(found, expected.map(|(target, url)| (target, url.to_owned())));
    }

    #[test]
    fn the_owner_of_the_server_is_told_what_to_change() {
        let claim = Claim::Tcp { port: 0 };
        let text = unreached(&Reach::Closed, &claim, "example.net", 4000, "ssh -p 2222 me@example.net");
        assert!(text.contains("GatewayPorts clientspecified"), "{text}");
        assert!(text.contains("ssh -L 8000:localhost:4000 -p 2222 me@example.net"), "{text}");
    }
}
