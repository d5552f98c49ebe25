//! What an `ssh -R` asks for.

use doorstep_proto::tunnel::Claim;

/// A forwarding that was granted.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    /// The claim's number in its session.
    pub id: u32,
    /// Address and port as the client knows them: OpenSSH takes channels for exactly these only.
    pub address: String,
    pub port: u32,
    /// The name that was granted; for ports, the relay's.
    pub host: String,
    /// Where visitors reach it.
    pub url: String,
    /// Visitors connect to a port of the relay.
    pub is_port: bool,
}

impl Forward {
    /// The name that is the client's own for now; none for a port, which is found under the relay's.
    pub fn name(&self) -> Option<&str> {
        (!self.is_port).then_some(&*self.host)
    }
}

/// What a request (RFC 4254 section 7.1) claims.
///
/// # Errors
/// Why it is none, in words for whoever typed it.
pub(super) fn claim(address: &str, port: u32) -> Result<Claim, String> {
    let name = name(address);
    let Ok(port) = u16::try_from(port) else { return Err(format!("there is no port {port}")) };
    match (port, name) {
        (80, name) => Ok(Claim::Http { name: name.unwrap_or_default(), label: String::new() }),
        (443, Some(name)) => Ok(Claim::Tls { name }),
        (443, None) => Err("port 443 passes TLS on as visitors send it, for a name: -R NAME:443:localhost:PORT. For \
                            HTTPS that ends at the relay, ask for port 80"
            .to_owned()),
        (port, None) => Ok(Claim::Tcp { port }),
        (port, Some(name)) => Err(format!(
            "names are for port 80 (web) and 443 (TLS as it is): -R {name}:80:localhost:PORT, or without a name for TCP \
             port {port}"
        )),
    }
}

/// As the request is written after `-R`.
pub(super) fn written(address: &str, port: u32) -> String {
    match address {
        // What OpenSSH sends for `-R 80:…` and for `-R '*:80:…'`.
        "localhost" | "" => format!("-R {port}"),
        _ => format!("-R {address}:{port}"),
    }
}

/// None where the address says nothing but where a stock server would listen.
fn name(address: &str) -> Option<String> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let is_nothing = matches!(bare, "" | "*" | "localhost") || bare.parse::<std::net::IpAddr>().is_ok();
    (!is_nothing).then(|| address.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_they_claim() {
        let http = |name: &str| Claim::Http { name: name.into(), label: String::new() };
        for (address, port, expected) in [
            ("localhost", 80, http("")),
            ("", 80, http("")),
            ("0.0.0.0", 80, http("")),
            ("Blog", 80, http("blog")),
            ("www.example.org", 80, http("www.example.org")),
            ("blog", 443, Claim::Tls { name: "blog".into() }),
            ("localhost", 0, Claim::Tcp { port: 0 }),
            ("", 2222, Claim::Tcp { port: 2222 }),
            ("::", 2222, Claim::Tcp { port: 2222 }),
        ] {
            assert_eq!(claim(address, port), Ok(expected), "{address}:{port}");
        }
        for (address, port) in [("", 443), ("blog", 8000), ("", 70000)] {
            assert!(claim(address, port).is_err(), "{address}:{port}");
        }
    }
}
