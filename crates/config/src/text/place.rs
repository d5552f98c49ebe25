//! Places of programs: a host and a port.

use std::net::IpAddr;

use doorstep_model::Hostname;

/// `localhost:22`, `192.168.1.5:22`, `[::1]:22`, or a port of this computer.
pub(crate) fn parse(text: &str) -> Result<(String, u16), String> {
    if text.contains("://") {
        return Err("a place has no `…://` in front: it is a host and a port".to_owned());
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((host, port)) => (host, port),
        None => text.rsplit_once(':').unwrap_or(("localhost", text)),
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ => return Err(format!("`{port}` is not a port: they go from 1 to 65535")),
    };
    if host.parse::<IpAddr>().is_err()
        && let Err(error) = host.parse::<Hostname>()
    {
        return Err(format!("its host is not a name or address: {error}"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// Addresses that mean something else on each network, among them those at which clouds hand out keys (RFC 3927).
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert_eq!(parse("22"), Ok(("localhost".into(), 22)));
        assert_eq!(parse("[::1]:22"), Ok(("::1".into(), 22)));
        assert_eq!(parse("Nas.local:22"), Ok(("nas.local".into(), 22)));
        for bad in ["", "ssh", "a:0", "tcp://a:22", "a b:22", "a:99999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
