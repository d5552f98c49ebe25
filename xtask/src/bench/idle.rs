//! Memory per idle connection: one that has made a request and now waits.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::lab::Lab;
use super::peers::{Cores, Peer, Server, Setup};
use super::process;
use crate::sh;

/// One row of the memory table.
pub struct IdleCase {
    pub name: &'static str,
    pub title: &'static str,
    pub tls: bool,
    pub connections: u64,
    /// The most bytes per connection that doorstep may take.
    pub goal: u64,
}

pub const ALL: &[IdleCase] = &[
    IdleCase { name: "idle-plain", title: "plain, 3,000 connections", tls: false, connections: 3000, goal: 4 << 10 },
    IdleCase { name: "idle-tls", title: "TLS, 1,000 connections", tls: true, connections: 1000, goal: 16 << 10 },
];

/// What one server takes.
#[derive(Clone)]
pub struct Idle {
    pub case: &'static str,
    pub peer: Peer,
    /// Resident memory after start and a few requests.
    pub base: u64,
    /// Growth of resident memory per connection.
    pub per_connection: f64,
}

/// # Errors
/// When a server does not start, or does not let all connections stay.
pub fn measure(case: &'static IdleCase, lab: &Lab) -> Result<Vec<Idle>> {
    println!("\n━━ {}: {}", case.name, case.title);
    [Peer::Doorstep, Peer::Nginx, Peer::Haproxy, Peer::Caddy].into_iter().map(|peer| one(case, peer, lab)).collect()
}

fn one(case: &'static IdleCase, peer: Peer, lab: &Lab) -> Result<Idle> {
    let server = Server::start(peer, Setup::Proxy { tls: case.tls }, lab, Cores::One)?;
    drop(Held::open(server.port, 20, case.tls)?);
    std::thread::sleep(Duration::from_millis(500));
    let base = process::resident(server.pid())?;
    let held = Held::open(server.port, case.connections, case.tls).with_context(|| peer.name())?;
    std::thread::sleep(Duration::from_millis(500));
    let grown = process::resident(server.pid())?.saturating_sub(base);
    drop(held);
    let per_connection = grown as f64 / case.connections as f64;
    println!(
        "{:<9} {:>6.1} MB at rest {:>8.2} KB per connection",
        peer.name(),
        base as f64 / 1e6,
        per_connection / 1024.0
    );
    Ok(Idle { case: case.name, peer, base, per_connection })
}

/// Open connections, held by a Python program because it has TLS at hand. They close when this is dropped.
struct Held(Child);

impl Held {
    fn open(port: u16, count: u64, tls: bool) -> Result<Self> {
        let kind = if tls { "tls" } else { "plain" };
        let mut command = sh::command("python3");
        command.args(["-c", include_str!("idle.py"), &port.to_string(), &count.to_string(), kind]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut said)?;
        let held = Self(child);
        if said.trim() != "held" {
            bail!("{count} connections could not be held open");
        }
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
