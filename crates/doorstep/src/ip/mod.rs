//! `doorstep ip`: this computer's addresses, and what each is good for.

mod standing;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use clap::Args;
use doorstep_gateway::{Gateway, Surroundings, find};
use doorstep_reach::interfaces::{self, Kind, Scope};
use serde_json::{Value, json};

use self::standing::{Evidence, Standing, judge};
use crate::exit::{Code, Failure, cause};
use crate::lend::known;
use crate::lend::ways::Known;
use crate::outside::Eyes;
use crate::screen::line::{BOLD, DIM};

/// What `doorstep ip` can be told.
#[derive(Debug, Args)]
pub struct IpArgs {
    /// Ask nobody outside of this network, not even the relays that this computer has joined
    #[arg(long)]
    pub local: bool,

    /// For programs
    #[arg(long)]
    pub json: bool,
}

pub const EXAMPLES: &str = "\
Examples:
  doorstep ip                  addresses of this computer, of its router, and how others see it
  doorstep ip --json           the same for programs";

/// One address of this computer.
struct Own {
    ip: IpAddr,
    interface: String,
    good_for: &'static str,
}

/// Everything that was found.
struct Found {
    own: Vec<Own>,
    gateways: Vec<Gateway>,
    /// Who was asked outside, and what they saw.
    asked: Vec<String>,
    evidence: Evidence,
    standing: Standing,
}

/// # Errors
/// Standard output cannot be written.
pub fn run(args: &IpArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, "no runtime").because(cause(&error)))?;
    let found = runtime.block_on(look(args));
    let mut out = std::io::stdout().lock();
    let text = match args.json {
        true => format!("{}\n", in_json(&found)),
        false => in_words(&found, out.is_terminal() && std::env::var_os("NO_COLOR").is_none()),
    };
    match out.write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Failed, format!("standard output cannot be written: {}", cause(&error))))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn look(args: &IpArgs) -> Found {
    let on = Surroundings::now();
    let own = own();
    let first = on.roads.iter().map(|road| road.local).find(IpAddr::is_ipv4);
    let relays = if args.local { Vec::new() } else { known::of_user(&known::joined(), None).unwrap_or_default() };
    let identities = relays.into_iter().filter_map(|known| match known {
        Known::Relay { identity, .. } => Some(*identity),
        Known::Ssh(_) | Known::Kite { .. } => None,
    });
    let identities: Vec<_> = identities.collect();
    let asked = identities.iter().map(|identity| identity.domain.to_string()).collect();
    let eyes = Eyes::new(identities);
    let observe = async {
        match first {
            Some(from) => eyes.observe(from).await,
            None => None,
        }
    };
    let (gateways, seen) = tokio::join!(find(&on), observe);
    let v4 = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    };
    let home = gateways.iter().find(|gateway| gateway.road.is_ipv4());
    let evidence = Evidence {
        own: first.and_then(v4),
        router: home.and_then(|gateway| gateway.external_ip).and_then(v4),
        router_has_none: home.is_some_and(|gateway| gateway.behind_another),
        seen: seen.and_then(v4),
    };
    Found { own, gateways, asked, standing: judge(&evidence), evidence }
}

fn own() -> Vec<Own> {
    let mut found = Vec::new();
    for interface in interfaces::list().into_iter().filter(|interface| interface.up) {
        for address in &interface.addresses {
            let good_for = good_for(interface.kind, address.scope, address.ip);
            found.push(Own { ip: address.ip, interface: interface.name.clone(), good_for });
        }
    }
    found
}

fn good_for(kind: Kind, scope: Scope, ip: IpAddr) -> &'static str {
    match (kind, scope, ip) {
        (Kind::Loopback, ..) | (_, Scope::Loopback, _) => "this computer only",
        (Kind::Container, ..) => "containers and virtual machines on this computer",
        (Kind::Vpn, ..) => "computers in the same VPN",
        (_, Scope::LinkLocal, _) => "the same cable or Wi-Fi only",
        (_, Scope::Private | Scope::UniqueLocal, _) => "your network",
        (_, Scope::Shared, _) => "the provider's own network; nobody outside of it",
        (_, Scope::Temporary, _) => "going out, until tomorrow; not for visitors",
        (_, Scope::Deprecated, _) => "nothing new: it is about to go",
        (_, Scope::Global, IpAddr::V6(_)) => "the internet by IPv6, if the router's firewall lets visitors in",
        (_, Scope::Global, IpAddr::V4(_)) => "the internet",
    }
}

fn in_words(found: &Found, color: bool) -> String {
    let paint = |text: &str, style: anstyle::Style| {
        if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    };
    let mut out = String::new();
    let _ = writeln!(out, "{}", paint("This computer", BOLD));
    let width = found.own.iter().map(|own| own.ip.to_string().len()).max().unwrap_or(0);
    let names = found.own.iter().map(|own| own.interface.len()).max().unwrap_or(0);
    for own in &found.own {
        let ip = own.ip.to_string();
        let _ = writeln!(out, "  {ip:width$}  {:names$}  {}", own.interface, paint(own.good_for, DIM));
    }
    if found.own.is_empty() {
        out.push_str("  has no address at all\n");
    }
    let _ = writeln!(out, "\n{}", paint("Router", BOLD));
    for gateway in found.gateways.iter().filter(|gateway| gateway.road.is_ipv4()) {
        let model = gateway.model().map_or_else(String::new, |model| format!(" ({model})"));
        let speaks = match gateway.protocols().as_slice() {
            [] => "opens no ports when asked (no UPnP, NAT-PMP or PCP)".to_owned(),
            protocols => format!("opens ports when asked ({})", protocols.join(", ")),
        };
        let _ = writeln!(out, "  {}{model}  {speaks}", gateway.road.gateway);
        let says = gateway.external_ip.map_or_else(
            || "does not say which address it has on the internet".to_owned(),
            |ip| format!("says that its address on the internet is {ip}"),
        );
        let _ = writeln!(out, "  {says}");
        for other in &gateway.others {
            let _ = writeln!(
                out,
                "  another router, {other}, answers as well; it is not the one that leads to the internet"
            );
        }
    }
    if !found.gateways.iter().any(|gateway| gateway.road.is_ipv4()) {
        out.push_str("  there is none: no way leads from here to the internet by IPv4\n");
    }
    let _ = writeln!(out, "\n{}", paint("Seen from outside", BOLD));
    match (found.evidence.seen, found.asked.as_slice()) {
        (Some(seen), asked) => {
            let _ = writeln!(out, "  {seen}  (by {})", asked.join(", "));
        }
        (None, []) => {
            out.push_str("  nobody was asked: this computer has joined no relay, and strangers are not asked\n")
        }
        (None, asked) => {
            let _ = writeln!(out, "  {} did not answer", asked.join(", "));
        }
    }
    let (sentence, next) = found.standing.words();
    let _ = writeln!(out, "\n{sentence}");
    if !next.is_empty() {
        let _ = writeln!(out, "  {next}");
    }
    out
}

fn in_json(found: &Found) -> Value {
    let own = found.own.iter().map(|own| json!({ "ip": own.ip, "interface": own.interface, "good_for": own.good_for }));
    let gateways = found.gateways.iter().map(|gateway| {
        json!({
            "ip": gateway.road.gateway,
            "local": gateway.road.local,
            "model": gateway.model(),
            "protocols": gateway.protocols(),
            "external_ip": gateway.external_ip,
            "others": gateway.others,
        })
    });
    let (sentence, next) = found.standing.words();
    let seen: Option<Ipv4Addr> = found.evidence.seen;
    json!({
        "addresses": own.collect::<Vec<_>>(),
        "gateways": gateways.collect::<Vec<_>>(),
        "asked": found.asked,
        "seen": seen,
        "standing": found.standing.id(),
        "what": sentence,
        "next": next,
    })
}
