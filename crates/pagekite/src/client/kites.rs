use doorstep_proto::pagekite::{BackEndOptions, Kite, KiteSecret, Outcome, Welcome};
use doorstep_proto::tunnel::{Claim, Code, TunnelError};
use doorstep_tunnel::Target;

use super::FrontEndAt;

/// Which kite leads to which target.
pub(super) struct Kites {
    pub flown: Vec<(Kite, usize)>,
    /// Targets that PageKite has nothing for.
    pub refused: Vec<(usize, TunnelError)>,
}

impl Kites {
    pub fn new(domain: &str, targets: &[Target]) -> Self {
        let mut kites = Self { flown: Vec::new(), refused: Vec::new() };
        for (number, target) in targets.iter().enumerate() {
            let kite = match kite(domain, &target.claim) {
                Ok(kite) if kites.flown.iter().any(|(other, _)| *other == kite) => {
                    Err(TunnelError::new(Code::NameTaken, format!("{kite} is another target of yours")))
                }
                other => other,
            };
            match kite {
                Ok(kite) => kites.flown.push((kite, number)),
                Err(error) => kites.refused.push((number, error)),
            }
        }
        kites
    }

    pub fn target(&self, kite: &Kite) -> Option<usize> {
        self.flown.iter().find(|(own, _)| own == kite).map(|(_, target)| *target)
    }

    pub fn back_end_options(&self, secret: &KiteSecret, version: &str, compress: bool) -> BackEndOptions {
        let kites = self.flown.iter().map(|(kite, _)| (kite.clone(), secret.clone())).collect();
        BackEndOptions { kites, compress, replace: None, version: version.to_owned() }
    }
}

fn kite(domain: &str, claim: &Claim) -> Result<Kite, TunnelError> {
    // A whole name is another kite with the same secret, another word one beneath this kite's.
    let whole = |name: &str| match name {
        "" => domain.to_owned(),
        name if name.contains('.') => name.to_owned(),
        label => format!("{label}.{domain}"),
    };
    let (protocol, name) = match claim {
        Claim::Http { name, .. } => ("http".to_owned(), whole(name)),
        Claim::Tls { name } => ("https".to_owned(), whole(name)),
        Claim::Tcp { port: 0 } => ("raw".to_owned(), domain.to_owned()),
        Claim::Tcp { port } => (format!("raw-{port}"), domain.to_owned()),
        Claim::Udp { .. } => {
            return Err(TunnelError::new(Code::PortNotAllowed, "PageKite carries no datagrams; use a doorstep relay"));
        }
    };
    Kite::new(&protocol, &name).map_err(|error| TunnelError::new(Code::BadName, format!("{name}: {error}")))
}

/// Where visitors find a kite, as far as its front-end tells.
pub(super) fn address(kite: &Kite, welcome: &Welcome) -> String {
    let domain = kite.domain();
    match kite.protocol() {
        "raw" => format!("tcp://{domain}:{}", kite.port().unwrap_or(22)),
        "https" => format!("https://{domain}/"),
        _ if welcome.tls.iter().any(|name| name == domain) => format!("https://{domain}/"),
        _ => match welcome.ports.first().map(String::as_str) {
            Some(port) if !welcome.ports.iter().any(|port| port == "80") => format!("http://{domain}:{port}/"),
            _ => format!("http://{domain}/"),
        },
    }
}

/// How a raw kite is reached, which is not by its address alone.
pub(super) fn way_to_raw(kite: &Kite, at: &FrontEndAt) -> String {
    let (domain, port) = (kite.domain(), kite.port().map_or("PORT".to_owned(), |port| port.to_string()));
    format!(
        "{domain}:{port} is reached with {at} as an HTTP proxy, as in: ssh -o ProxyCommand='nc -X connect -x {at} %h %p' \
         -p {port} {domain}"
    )
}

/// A refusal in the words of tunnels; `None` where the kite flies.
pub(super) fn refusal(kite: &Kite, outcome: &Outcome) -> Option<TunnelError> {
    let (code, detail) = match outcome {
        Outcome::Flies => return None,
        Outcome::Duplicate => (Code::NameTaken, format!("{kite} is flown by another back-end just now")),
        Outcome::Refused(why) => match why.as_str() {
            "signature" => (Code::WrongKey, format!("the front-end knows another secret for {kite}")),
            "unauthorized" => (Code::NameNotAllowed, format!("nobody may fly {kite} at this front-end")),
            "quota" => (Code::TooMuch, format!("the quota for {kite} is used up")),
            "port" => (Code::PortNotAllowed, format!("the front-end has no such port: {kite}")),
            "proto" => (Code::NameNotAllowed, format!("the front-end does not speak this protocol: {kite}")),
            "" => (Code::NameNotAllowed, format!("the front-end gives no reason for {kite}")),
            other => (Code::NameNotAllowed, format!("{kite}: {other}")),
        },
    };
    Some(TunnelError::new(code, detail))
}

#[cfg(test)]
mod tests {
    use doorstep_model::UpstreamAddr;
    use doorstep_tunnel::Sink;

    use super::*;

    fn target(claim: Claim) -> Target {
        let addr = UpstreamAddr::Tcp { host: "localhost".into(), port: 8000 };
        Target::new(claim, Sink::Dial(addr))
    }

    fn http(name: &str) -> Claim {
        Claim::Http { name: name.into(), label: String::new() }
    }

    #[test]
    fn targets_become_kites() {
        let claims = [
            http(""),
            Claim::Tls { name: "kite.example.net".into() },
            http("blog"),
            http("Shop.example.net"),
            Claim::Tcp { port: 22 },
            Claim::Tcp { port: 0 },
            Claim::Udp { port: 53 },
            http("kite.example.net"),
            http("not a name"),
        ];
        let kites = Kites::new("kite.example.net", &claims.map(target));
        let flown: Vec<String> = kites.flown.iter().map(|(kite, target)| format!("{kite} {target}")).collect();
        assert_eq!(
            flown,
            [
                "http:kite.example.net 0",
                "https:kite.example.net 1",
                "http:blog.kite.example.net 2",
                "http:shop.example.net 3",
                "raw-22:kite.example.net 4",
                "raw:kite.example.net 5"
            ]
        );
        let refused: Vec<_> = kites.refused.iter().map(|(target, error)| (*target, error.code)).collect();
        assert_eq!(refused, [(6, Code::PortNotAllowed), (7, Code::NameTaken), (8, Code::BadName)]);
    }

    #[test]
    fn addresses_follow_the_front_end() {
        let kite = |protocol| Kite::new(protocol, "a.example").unwrap();
        let mut welcome = Welcome { ports: vec!["8080".into(), "443".into()], ..Welcome::default() };
        assert_eq!(address(&kite("http"), &welcome), "http://a.example:8080/");
        welcome.ports.push("80".into());
        assert_eq!(address(&kite("http"), &welcome), "http://a.example/");
        welcome.tls.push("a.example".into());
        assert_eq!(address(&kite("http"), &welcome), "https://a.example/");
        assert_eq!(address(&kite("raw-22"), &welcome), "tcp://a.example:22");
    }
}
