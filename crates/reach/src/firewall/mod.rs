//! Does a firewall on this computer turn visitors away?
//!
//! The rules themselves are read, not changed and not tried out: by `nft` and `iptables-save`, which need root, or by
//! `firewall-cmd`, which mostly does not. Where they cannot be read, or where it depends on something that cannot be
//! known beforehand, the answer is [`Firewall::CouldNotTell`].

use doorstep_model::{Blame, Finding, Severity};

use crate::interfaces::{Interface, Kind, Scope};

mod command;
mod iptables;
mod managers;
mod nft;
mod walk;

use command::{Answer, ask};
use managers::Manager;
use walk::Packet;

/// What the firewall of this computer does with new TCP connections to a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// It lets them in.
    Open,
    /// It certainly turns them away.
    Drops {
        /// Which one: `ufw`, `nftables (table inet filter, chain input)`.
        which: String,
        /// The command that lets the port in, until the next start of the computer at least.
        how_to_allow: String,
    },
    CouldNotTell {
        why: String,
        /// The command to try if visitors see nothing; only where a firewall is known to be switched on.
        if_blocked: Option<String>,
    },
}

impl Firewall {
    /// What to tell the user; nothing if there is nothing to worry about.
    pub fn finding(&self, port: u16) -> Option<Finding> {
        let finding = |severity, id, what, why: &str, fix| {
            Some(Finding { severity, blame: Blame::Environment, id, what, why: why.into(), fix })
        };
        match self {
            Self::Open | Self::CouldNotTell { if_blocked: None, .. } => None,
            Self::Drops { which, how_to_allow } => finding(
                Severity::Warning,
                "firewall-drops-port",
                format!("The firewall on this computer, {which}, turns away visitors on port {port}."),
                "On other devices the page loads forever, or says that the connection was refused.",
                how_to_allow.clone(),
            ),
            Self::CouldNotTell { why, if_blocked: Some(command) } => finding(
                Severity::Note,
                "firewall-unknown",
                format!("doorstep cannot see whether the firewall on this computer lets visitors in: {why}."),
                "",
                format!("If other devices see nothing: {command}"),
            ),
        }
    }
}

/// Looks at the firewall rules that a visitor from the local network to TCP `port` would meet.
///
/// Runs programs of the system, two seconds each at most, and never asks for a password.
pub async fn check(port: u16, interfaces: &[Interface]) -> Firewall {
    let packets = packets(port, interfaces);
    if packets.is_empty() {
        return Firewall::CouldNotTell {
            why: "this computer is not connected to a local network".into(),
            if_blocked: None,
        };
    }
    let manager = managers::active().await;
    let rules = Rules::read().await;
    let mut unsure = None;
    for packet in &packets {
        match rules.judge(packet, manager).await {
            Firewall::Open => {}
            // The visitor by IPv4 came first, and was not turned away for certain.
            Firewall::Drops { which, how_to_allow } if packet.destination.is_ipv6() && packets.len() > 1 => {
                return Firewall::Drops { which: format!("{which} for IPv6"), how_to_allow };
            }
            drops @ Firewall::Drops { .. } => return drops,
            other => unsure = unsure.or(Some(other)),
        }
    }
    unsure.unwrap_or(Firewall::Open)
}

/// The visitors asked about: one by IPv4 and one by IPv6, on the network that is told first.
fn packets(port: u16, interfaces: &[Interface]) -> Vec<Packet> {
    let visitor = |v6: bool| {
        let lan = interfaces.iter().filter(|interface| interface.up && interface.kind == Kind::Lan);
        let mut all = lan.flat_map(|interface| interface.addresses.iter().map(move |address| (interface, address)));
        let (interface, address) = all.find(|(_, a)| a.ip.is_ipv6() == v6 && (!v6 || a.scope == Scope::Global))?;
        Some(Packet { interface: interface.name.clone(), source: address.network, destination: address.ip, port })
    };
    [false, true].into_iter().filter_map(visitor).collect()
}

/// The rule sets, as far as they may be read.
struct Rules {
    nft: Answer,
    /// By IPv4 and by IPv6; several where both generations of iptables are installed.
    iptables: [Vec<String>; 2],
    /// Some iptables is there and refused to tell.
    iptables_refused: bool,
}

impl Rules {
    async fn read() -> Self {
        let mut rules = Self {
            nft: ask("nft", &["-j", "list", "ruleset"]).await,
            iptables: [vec![], vec![]],
            iptables_refused: false,
        };
        for (family, prefix) in ["iptables", "ip6tables"].into_iter().enumerate() {
            let mut found = false;
            for program in [format!("{prefix}-nft-save"), format!("{prefix}-legacy-save"), format!("{prefix}-save")] {
                if found && program.ends_with("tables-save") {
                    break; // It is a link to one of the other two.
                }
                match ask(&program, &[]).await {
                    Answer::Missing => continue,
                    Answer::Refused => rules.iptables_refused = true,
                    Answer::Text(text) => rules.iptables[family].push(text),
                }
                found = true;
            }
        }
        rules
    }

    async fn judge(&self, packet: &Packet, manager: Option<Manager>) -> Firewall {
        let mut depends = None;
        for saved in &self.iptables[usize::from(packet.destination.is_ipv6())] {
            match iptables::judge(saved, packet) {
                iptables::Judgement::Accepts => {}
                iptables::Judgement::Drops { table, chain } => {
                    let which = format!("iptables (table {table}, chain {chain})");
                    let program = if packet.destination.is_ipv6() { "ip6tables" } else { "iptables" };
                    let command =
                        format!("sudo {program} -t {table} -I {chain} -p tcp --dport {} -j ACCEPT", packet.port);
                    return named(packet, manager, which, command).await;
                }
                iptables::Judgement::Depends { table, chain } => {
                    depends = Some(format!("iptables (table {table}, chain {chain})"));
                }
            }
        }
        if let Answer::Text(ruleset) = &self.nft {
            let without_iptables = self.iptables.iter().flatten().any(|saved| saved.contains("nf_tables"));
            match nft::judge(ruleset, packet, without_iptables) {
                Some(nft::Judgement::Accepts) => {}
                Some(nft::Judgement::Drops(base)) => {
                    let nft::BaseChain { family, table, name } = base;
                    let which = format!("nftables (table {family} {table}, chain {name})");
                    let command =
                        format!("sudo nft insert rule {family} {table} {name} tcp dport {} accept", packet.port);
                    let manager = manager.filter(|manager| match manager {
                        Manager::Firewalld => table == "firewalld" || table == "filter",
                        Manager::Ufw => table == "filter",
                    });
                    return named(packet, manager, which, command).await;
                }
                Some(nft::Judgement::Depends(base)) => {
                    depends = Some(format!("nftables (table {} {}, chain {})", base.family, base.table, base.name));
                }
                None => depends = Some("nftables".into()),
            }
        }
        if let Some(which) = depends {
            let why = format!("the rules of {which} depend on who comes, or on what cannot be read");
            return Firewall::CouldNotTell { why, if_blocked: None };
        }
        match &self.nft {
            Answer::Text(_) if !self.iptables_refused => Firewall::Open,
            Answer::Missing if !self.iptables_refused && self.iptables.iter().any(|all| !all.is_empty()) => {
                let why = "nft is not installed, so only the rules of iptables could be read".into();
                Firewall::CouldNotTell { why, if_blocked: None }
            }
            _ => without_rights(packet, manager).await,
        }
    }
}

/// A drop, told in the words of the program that the user knows the rules by.
async fn named(packet: &Packet, manager: Option<Manager>, which: String, how_to_allow: String) -> Firewall {
    match manager {
        Some(manager) => Firewall::Drops { which: manager.name().into(), how_to_allow: manager.allow(packet).await },
        None => Firewall::Drops { which, how_to_allow },
    }
}

/// The answer where the rules themselves may not be read.
async fn without_rights(packet: &Packet, manager: Option<Manager>) -> Firewall {
    match manager {
        Some(manager) => match manager.lets_in(packet).await {
            Some(true) => Firewall::Open,
            Some(false) => Firewall::Drops { which: manager.name().into(), how_to_allow: manager.allow(packet).await },
            None => Firewall::CouldNotTell {
                why: format!("{} is switched on, and only root may read its rules", manager.name()),
                if_blocked: Some(manager.allow(packet).await),
            },
        },
        None => Firewall::CouldNotTell { why: "only root may read the rules".into(), if_blocked: None },
    }
}
