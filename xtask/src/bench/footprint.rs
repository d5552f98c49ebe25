//! Memory of a server with few or many sites, at rest: all its processes.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;

use super::lab::Lab;
use super::load::{LoadKind, Tool};
use super::peers::{Cores, Peer, Server, Setup};
use super::process;
use super::sites::{Serve, Sites};

/// One row of the table.
pub struct FootprintCase {
    pub name: &'static str,
    title: &'static str,
    sites: Sites,
}

pub const ALL: &[FootprintCase] = &[
    FootprintCase { name: "memory-1", title: "one site", sites: Sites { count: 1, serve: Serve::Files, tls: false } },
    FootprintCase {
        name: "memory-1000",
        title: "1,000 sites, folders and apps",
        sites: Sites { count: 1000, serve: Serve::Mixed, tls: false },
    },
    FootprintCase {
        name: "certificates-1000",
        title: "1,000 sites with a certificate each (P-256, from files), after a handshake with each",
        sites: Sites { count: 1000, serve: Serve::Mixed, tls: true },
    },
];

/// What one server takes.
#[derive(Clone)]
pub struct Footprint {
    case: &'static str,
    peer: Peer,
    /// Proportional set size of each process; of doorstep's two, the supervisor is the first.
    processes: Vec<u64>,
}

/// # Errors
/// When a server does not start, or fails at a handshake.
pub fn measure(case: &'static FootprintCase, lab: &Lab) -> Result<Vec<Footprint>> {
    println!("\n━━ {}: {}", case.name, case.title);
    [Peer::Doorstep, Peer::Nginx, Peer::Caddy].into_iter().map(|peer| one(case, peer, lab)).collect()
}

fn one(case: &'static FootprintCase, peer: Peer, lab: &Lab) -> Result<Footprint> {
    let server = Server::start(peer, Setup::Sites(case.sites), lab, Cores::One)?;
    if case.sites.tls {
        let tool = Tool::Handshakes(case.sites.count);
        LoadKind { tool, path: "100b.bin", connections: 16, tls: true, close: true }.run(server.port, lab)?;
    }
    std::thread::sleep(Duration::from_secs(1));
    let footprint = Footprint { case: case.name, peer, processes: process::proportional(server.pid())? };
    println!("{:<9} {} MB", peer.name(), footprint.shown());
    Ok(footprint)
}

impl Footprint {
    /// The sum in MB, and what it is made of.
    fn shown(&self) -> String {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let sum = megabytes(self.processes.iter().sum());
        match self.processes.as_slice() {
            [_] => sum,
            several => {
                let parts: Vec<String> = several.iter().map(|bytes| megabytes(*bytes)).collect();
                format!("{sum} ({})", parts.join(" + "))
            }
        }
    }
}

/// The part of docs/benchmarks.md about this.
pub fn section(footprints: &[Footprint]) -> String {
    let mut table = "\n## Memory of `doorstep up`\n\n\
        At rest, in MB: proportional set size (what several processes share counts once) of all processes; in brackets each of them,\n\
        for doorstep the supervisor and the worker, for nginx the master and its worker.\n\n\
        | case | doorstep | nginx | caddy |\n|---|---|---|---|\n"
        .to_owned();
    for case in ALL {
        let of = |peer| {
            let found = footprints.iter().find(|one| one.case == case.name && one.peer == peer);
            found.map_or_else(|| "–".to_owned(), Footprint::shown)
        };
        let (ours, nginx, caddy) = (of(Peer::Doorstep), of(Peer::Nginx), of(Peer::Caddy));
        if footprints.iter().any(|one| one.case == case.name) {
            let _ = writeln!(table, "| `{}` {} | {ours} | {nginx} | {caddy} |", case.name, case.title);
        }
    }
    table
}
