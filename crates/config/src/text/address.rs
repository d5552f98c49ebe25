//! Networks and addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// `192.168.1.0/24`, `fd00::/8`, a single address, or `private` and `loopback` for what these words mean.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let named: &[&str] = match text {
        "private" => &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.0.0/16", "fe80::/10"],
        "loopback" => &["127.0.0.0/8", "::1/128"],
        _ => &[text],
    };
    named.iter().map(|text| network(text)).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| "networks look like `192.168.1.0/24` or `fd00::/8`".to_owned())?;
    let trunc = net.trunc();
    if trunc == net {
        Ok(net)
    } else {
        Err(format!(
            "it names one computer and a whole network; the network is `{trunc}`, the computer `{}`",
            net.addr()
        ))
    }
}

/// `0.0.0.0:80`, `[::]:443`, or `:8080` for all addresses of both kinds.
pub(crate) fn listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    if let Some(port) = text.strip_prefix(':').filter(|port| !port.contains(':')) {
        let port = port.parse().map_err(|_| "after `:` comes a port from 1 to 65535".to_owned())?;
        return Ok(everywhere(port));
    }
    one(text).map(|address| vec![address])
}

/// One address with its port.
pub(crate) fn one(text: &str) -> Result<SocketAddr, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(if text.contains(':') {
            format!("the port is missing; with one it is `[{text}]:80`")
        } else {
            format!("the port is missing; with one it is `{text}:80`")
        });
    }
    match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        _ => text.parse().map_err(|_| "it is not an IP address with a port".to_owned()),
    }
}

/// All addresses of this computer, IPv4 and IPv6.
pub(crate) fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_no_host_part() {
        assert_eq!(networks("10.0.0.1").map(|nets| nets[0].to_string()), Ok("10.0.0.1/32".to_owned()));
        assert_eq!(networks("private").map(|nets| nets.len()), Ok(6));
        assert!(networks("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(networks("10.0.0.0/33").is_err());
    }

    #[test]
    fn addresses() {
        assert_eq!(listen(":80").map(|all| all.len()), Ok(2));
        assert_eq!(listen("[::1]:80").map(|all| all.len()), Ok(1));
        assert!(listen("::1").unwrap_err().contains("[::1]:80"));
        assert!(listen(":99999").is_err());
        assert!(one("example.com:80").is_err());
    }
}
