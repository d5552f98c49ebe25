use std::fs;

use super::command::{Answer, ask};
use super::walk::Packet;

/// A program that writes the firewall's rules for the user, and by whose name the user knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Ufw,
    Firewalld,
}

/// The manager that is switched on.
pub(super) async fn active() -> Option<Manager> {
    // Everybody may read this file, though not the rules.
    if fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| ufw_is_enabled(&text)) {
        return Some(Manager::Ufw);
    }
    match ask("firewall-cmd", &["--state"]).await {
        Answer::Text(_) => Some(Manager::Firewalld),
        Answer::Missing | Answer::Refused => None,
    }
}

impl Manager {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
        }
    }

    /// The command that lets the port in.
    pub(super) async fn allow(self, packet: &Packet) -> String {
        match self {
            Self::Ufw => format!("sudo ufw allow {}/tcp", packet.port),
            Self::Firewalld => match zone(packet).await {
                Some(zone) => format!("sudo firewall-cmd --zone={zone} --add-port={}/tcp", packet.port),
                None => format!("sudo firewall-cmd --add-port={}/tcp", packet.port),
            },
        }
    }

    /// Whether it lets the packet in, as far as it tells this user.
    pub(super) async fn lets_in(self, packet: &Packet) -> Option<bool> {
        match self {
            Self::Ufw => None,
            Self::Firewalld => {
                let zone = zone(packet).await?;
                match ask("firewall-cmd", &[&format!("--zone={zone}"), "--list-all"]).await {
                    Answer::Text(listing) => zone_lets_in(&listing, packet.port),
                    Answer::Missing | Answer::Refused => None,
                }
            }
        }
    }
}

/// The firewalld zone of the packet's interface.
async fn zone(packet: &Packet) -> Option<String> {
    let by_interface = ask("firewall-cmd", &[&format!("--get-zone-of-interface={}", packet.interface)]).await;
    let answer = match by_interface {
        Answer::Text(zone) => Answer::Text(zone),
        _ => ask("firewall-cmd", &["--get-default-zone"]).await,
    };
    match answer {
        Answer::Text(zone) => Some(zone.trim().to_owned()).filter(|zone| !zone.is_empty()),
        Answer::Missing | Answer::Refused => None,
    }
}

fn ufw_is_enabled(conf: &str) -> bool {
    conf.lines().filter_map(|line| line.trim().strip_prefix("ENABLED=")).any(|value| value.trim_matches('"') == "yes")
}

/// Reads `firewall-cmd --list-all`. `None` where it takes more than ports to tell.
fn zone_lets_in(listing: &str, port: u16) -> Option<bool> {
    let field = |name: &str| {
        let line = listing.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.split_ascii_whitespace().collect::<Vec<_>>())
    };
    let rich_rules = listing.lines().any(|line| line.trim_start().starts_with("rule "));
    if rich_rules || field("source-ports").is_some_and(|ports| !ports.is_empty()) {
        return None;
    }
    if field("target")?.contains(&"ACCEPT") || field("protocols").is_some_and(|all| all.contains(&"tcp")) {
        return Some(true);
    }
    let in_range = |range: &str| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some((low.parse::<u16>().ok()?..=high.parse::<u16>().ok()?).contains(&port))
    };
    let mut by_port = field("ports")?.into_iter().filter_map(|entry| entry.strip_suffix("/tcp"));
    if by_port.any(|range| in_range(range) == Some(true)) {
        return Some(true);
    }
    let mut unknown = false;
    for service in field("services")? {
        match service_ports(service) {
            Some(ports) if ports.contains(&port) => return Some(true),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(false) }
}

/// The TCP ports of services that firewalld's zones come with.
fn service_ports(service: &str) -> Option<&'static [u16]> {
    Some(match service {
        "http" => &[80],
        "https" => &[443],
        "ssh" => &[22],
        "cockpit" => &[9090],
        "samba" => &[139, 445],
        "ipp" => &[631],
        "dhcpv6-client" | "mdns" | "samba-client" | "ipp-client" | "http3" | "dhcp" => &[],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
FedoraServer (default, active)
  target: default
  icmp-block-inversion: no
  interfaces: enp1s0
  sources: 
  services: cockpit dhcpv6-client ssh http
  ports: 3000/tcp 5000-5010/tcp 9000/udp
  protocols: 
  forward: yes
  masquerade: no
  forward-ports: 
  source-ports: 
  icmp-blocks: 
  rich rules: 
";

    #[test]
    fn firewalld_zones() {
        for (port, lets_in) in [(3000, true), (5005, true), (80, true), (9090, true), (8080, false), (9000, false)] {
            assert_eq!(zone_lets_in(LISTING, port), Some(lets_in), "{port}");
        }
        let accepting = LISTING.replace("target: default", "target: ACCEPT");
        assert_eq!(zone_lets_in(&accepting, 8080), Some(true));
        let unknown_service = LISTING.replace("cockpit", "my-own-service");
        assert_eq!(zone_lets_in(&unknown_service, 8080), None);
        assert_eq!(zone_lets_in(&unknown_service, 3000), Some(true));
        let rich = format!("{LISTING}\trule family=\"ipv4\" source address=\"10.0.0.0/8\" accept\n");
        assert_eq!(zone_lets_in(&rich, 8080), None);
        assert_eq!(zone_lets_in("", 8080), None);
    }

    #[test]
    fn ufw_conf() {
        assert!(ufw_is_enabled("# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n"));
        assert!(!ufw_is_enabled("ENABLED=no\n"));
        assert!(!ufw_is_enabled("#ENABLED=yes\n"));
    }
}
