use doorstep_proto::tunnel::{Claim, Code, TunnelError};
use doorstep_tunnel::Target;

use super::Style;

/// What is asked of a server in one session.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// None until the server's greeting is known: then this is how a stock one is asked.
    pub style: Option<Style>,
    pub wishes: Vec<Wish>,
}

/// One remote forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Index of the target.
    pub target: usize,
    /// The address to listen on (RFC 4254 section 7.1); empty is all.
    pub host: String,
    /// 0 is any.
    pub port: u16,
}

/// What was granted before, for each target, and what people want.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    wanted: Vec<u16>,
    granted: Vec<Option<u16>>,
    /// Refusals since the last grant.
    refusals: Vec<u32>,
}

/// Ports that are asked for where nobody wants a particular one: neither a system's own, nor those that it gives to
/// outbound connections.
const USUAL: std::ops::Range<u16> = 20_000..32_000;

impl Memory {
    pub fn new(targets: &[Target], wanted: &[u16], server: &str) -> Self {
        let wanted = targets.iter().enumerate().map(|(index, target)| match target.claim {
            Claim::Tcp { port } if port != 0 => port,
            _ => match wanted.get(index) {
                Some(port) if *port != 0 => *port,
                _ => usual(server, &target.claim),
            },
        });
        Self { wanted: wanted.collect(), granted: vec![None; targets.len()], refusals: vec![0; targets.len()] }
    }

    pub fn granted(&mut self, target: usize, port: u16) {
        if let (Some(granted), Some(refusals)) = (self.granted.get_mut(target), self.refusals.get_mut(target)) {
            *granted = Some(port);
            *refusals = 0;
        }
    }

    /// Says how often that was since the last grant.
    pub fn refused(&mut self, target: usize) -> u32 {
        let Some(refusals) = self.refusals.get_mut(target) else { return 0 };
        *refusals += 1;
        *refusals
    }

    /// The port that the target had in an earlier session.
    pub fn had(&self, target: usize) -> Option<u16> {
        self.granted.get(target).copied().flatten()
    }

    /// The server may choose another port for the target.
    pub fn let_go(&mut self, target: usize) {
        if let (Some(granted), Some(wanted)) = (self.granted.get_mut(target), self.wanted.get_mut(target)) {
            (*granted, *wanted) = (None, 0);
        }
    }

    /// A port that somebody asked for by number is not replaced by another.
    pub fn insists(&self, target: usize, asked: &[u16], claim: &Claim) -> bool {
        matches!(claim, Claim::Tcp { port } if *port != 0) || asked.get(target).is_some_and(|port| *port != 0)
    }

    pub fn port(&self, target: usize) -> u16 {
        self.had(target).or_else(|| self.wanted.get(target).copied()).unwrap_or(0)
    }
}

/// The plan of a session, and what cannot be asked for over ssh.
pub(super) fn plan(style: Option<Style>, targets: &[Target], memory: &Memory) -> (Plan, Vec<(usize, TunnelError)>) {
    let (mut wishes, mut refused) = (Vec::new(), Vec::new());
    for (target, Target { claim, .. }) in targets.iter().enumerate() {
        let stock = style != Some(Style::Lender);
        let (host, port) = match claim {
            Claim::Udp { .. } => {
                refused
                    .push((target, TunnelError::new(Code::PortNotAllowed, "ssh carries no UDP; use a doorstep relay")));
                continue;
            }
            _ if stock => (String::new(), memory.port(target)),
            Claim::Http { name, .. } => (named(name), 80),
            Claim::Tls { name } => (named(name), 443),
            Claim::Tcp { port } => ("localhost".to_owned(), memory.had(target).unwrap_or(*port)),
        };
        wishes.push(Wish { target, host, port });
    }
    (Plan { style, wishes }, refused)
}

/// Without a name, the server chooses one; `localhost` is what `ssh -R 80:…` asks for.
fn named(name: &str) -> String {
    if name.is_empty() { "localhost".to_owned() } else { name.to_ascii_lowercase() }
}

/// The same port each time for the same server and claim, so that the address stays when doorstep is started again.
fn usual(server: &str, claim: &Claim) -> u16 {
    let text = match claim {
        Claim::Http { name, label } => format!("{server} {name} {label}"),
        Claim::Tls { name } => format!("{server} {name} tls"),
        Claim::Tcp { .. } | Claim::Udp { .. } => format!("{server} tcp"),
    };
    // FNV-1a; its result must stay the same with every version of doorstep.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let span = u64::from(USUAL.end - USUAL.start);
    USUAL.start + u16::try_from(hash % span).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorstep_model::UpstreamAddr;
    use doorstep_tunnel::Sink;

    fn target(claim: Claim) -> Target {
        let to = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: 1 };
        Target::new(claim, Sink::Dial(to))
    }

    #[test]
    fn stock_servers_are_asked_for_ports_and_lenders_for_names() {
        let targets = [
            target(Claim::Http { name: "Blog".into(), label: String::new() }),
            target(Claim::Tcp { port: 2222 }),
            target(Claim::Udp { port: 53 }),
        ];
        let mut memory = Memory::new(&targets, &[], "me@example.com");
        let (stock, refused) = plan(None, &targets, &memory);
        assert_eq!(refused.len(), 1);
        assert!(USUAL.contains(&stock.wishes[0].port));
        assert_eq!(stock.wishes[1], Wish { target: 1, host: String::new(), port: 2222 });
        memory.granted(0, 4000);
        assert_eq!(plan(Some(Style::Stock), &targets, &memory).0.wishes[0].port, 4000);
        memory.let_go(0);
        assert_eq!(plan(Some(Style::Stock), &targets, &memory).0.wishes[0].port, 0);
        let lender = plan(Some(Style::Lender), &targets, &memory).0;
        assert_eq!(lender.wishes[0], Wish { target: 0, host: "blog".into(), port: 80 });
        assert_eq!(lender.wishes[1], Wish { target: 1, host: "localhost".into(), port: 2222 });
    }
}
