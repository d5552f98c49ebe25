//! Tunnels beside each other: what it costs to bring a visitor's bytes from a public port to an app behind it.
//!
//! Both ends of every tunnel are pinned to one core; load and app share the other one, as for servers. All figures are of
//! both ends together, and ratios are to rathole without encryption, in the same run.

mod download;
mod idle;
mod ours;
mod peers;
mod road;
mod section;
mod visit;

use anyhow::{Result, bail};

use super::lab::Lab;
use super::{ROUNDS, median};
pub use idle::Idle;
use road::{Road, Tunnel};
pub use section::section;

/// Stands for all cases of tunnels on the command line.
pub const GROUP: &str = "tunnel";

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Requests,
    New,
    Download,
    Four,
    Encrypted,
    Latency,
}

pub const ALL: [Case; 6] = [Case::Requests, Case::New, Case::Latency, Case::Download, Case::Four, Case::Encrypted];

/// One road in one case: the medians of its rounds.
pub struct Cell {
    pub case: Case,
    pub road: Road,
    /// Requests, connections or MB per second.
    pub rate: f64,
    /// CPU time of both ends: µs for each request or connection, s for each GiB.
    pub cpu: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// In all rounds.
    pub errors: u64,
}

/// All about tunnels.
#[derive(Default)]
pub struct Figures {
    pub cells: Vec<Cell>,
    pub idle: Vec<Idle>,
}

/// One round of one road in one case.
struct Sample {
    rate: f64,
    cpu: f64,
    p50_ms: f64,
    p99_ms: f64,
    errors: u64,
}

impl Case {
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "tunnel-requests",
            Self::New => "tunnel-new",
            Self::Download => "tunnel-download",
            Self::Four => "tunnel-four",
            Self::Encrypted => "tunnel-encrypted",
            Self::Latency => "tunnel-latency",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Requests => "100 B, 64 connections",
            Self::New => "100 B, a new connection per request, 64 at once",
            Self::Download => "1 GiB, one download",
            Self::Four => "4 × 256 MiB at once",
            Self::Encrypted => "1 GiB over TLS from the visitor to the private side",
            Self::Latency => "100 B, one connection",
        }
    }

    /// wrk names no host in its TLS handshake but the one that it connects to, which no lent name is.
    fn fits(self, tunnel: &Tunnel) -> bool {
        !tunnel.door.tls || matches!(self, Self::Download | Self::Four | Self::Encrypted)
    }

    fn sample(self, tunnel: &Tunnel, lab: &Lab) -> Result<Sample> {
        match self {
            Self::Requests => visit::requests(tunnel, 64, false),
            Self::New => visit::requests(tunnel, 64, true),
            Self::Latency => visit::requests(tunnel, 1, false),
            Self::Download => download::download(tunnel, lab, 1, download::GIB),
            Self::Four => download::download(tunnel, lab, 4, download::GIB / 4),
            Self::Encrypted => download::download(tunnel, lab, 1, download::GIB),
        }
    }
}

/// The names of all cases.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|case| case.name()).chain([idle::NAME])
}

/// # Errors
/// When a peer cannot be built, a tunnel does not start, or what measures it fails.
pub fn measure(lab: &Lab, wanted: impl Fn(&str) -> bool) -> Result<Figures> {
    let mut figures = Figures::default();
    let cases: Vec<Case> = ALL.into_iter().filter(|case| wanted(GROUP) || wanted(case.name())).collect();
    let idle = wanted(GROUP) || wanted(idle::NAME);
    if cases.is_empty() && !idle {
        return Ok(figures);
    }
    peers::install()?;
    download::make_file(lab)?;
    for (roads, tls) in [(Road::PLAIN, false), (Road::ENCRYPTED, true)] {
        let cases: Vec<Case> = cases.iter().copied().filter(|case| (*case == Case::Encrypted) == tls).collect();
        if cases.is_empty() {
            continue;
        }
        let tunnels: Vec<Tunnel> = roads.iter().map(|road| Tunnel::start(*road, lab, tls)).collect::<Result<_>>()?;
        for case in cases {
            let fit: Vec<&Tunnel> = tunnels.iter().filter(|tunnel| case.fits(tunnel)).collect();
            figures.cells.extend(one(case, &fit, lab)?);
        }
    }
    if idle {
        figures.idle = idle::measure(lab)?;
    }
    Ok(figures)
}

/// All tunnels, loaded in turn, round after round.
fn one(case: Case, tunnels: &[&Tunnel], lab: &Lab) -> Result<Vec<Cell>> {
    println!("\n━━ {}: {}", case.name(), case.title());
    let mut rounds: Vec<Vec<Sample>> = tunnels.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (tunnel, rounds) in tunnels.iter().zip(&mut rounds) {
            let sample = case.sample(tunnel, lab)?;
            println!(
                "{:<20} {:>9.2} CPU {:>9.0}/s  p50 {:>7.3} ms  p99 {:>7.3} ms  {} errors",
                tunnel.road.name(),
                sample.cpu,
                sample.rate,
                sample.p50_ms,
                sample.p99_ms,
                sample.errors
            );
            rounds.push(sample);
        }
    }
    tunnels.iter().zip(rounds).map(|(tunnel, rounds)| summarise(case, tunnel.road, &rounds)).collect()
}

fn summarise(case: Case, road: Road, rounds: &[Sample]) -> Result<Cell> {
    let middle = |figure: fn(&Sample) -> f64| median(rounds.iter().map(figure).collect());
    let cell = Cell {
        case,
        road,
        rate: middle(|sample| sample.rate),
        cpu: middle(|sample| sample.cpu),
        p50_ms: middle(|sample| sample.p50_ms),
        p99_ms: middle(|sample| sample.p99_ms),
        errors: rounds.iter().map(|sample| sample.errors).sum(),
    };
    if cell.rate == 0.0 {
        bail!("{} brought nothing through in {}", road.name(), case.name());
    }
    Ok(cell)
}
