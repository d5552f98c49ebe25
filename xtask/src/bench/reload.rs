//! How long it takes from the command to reload until the new configuration answers, with many sites.

use std::fmt::Write;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::lab::{Lab, free_port};
use super::peers::{Cores, Peer, Server, Setup, ask};
use super::process::{self, CpuTime};
use super::sites::{self, Revision, Serve, Sites};
use super::{ROUNDS, median};

pub const NAME: &str = "reload-1000";

const SITES: Sites = Sites { count: 1000, serve: Serve::Mixed, tls: false };

/// What changes besides the text of the last site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    /// A port more, or less again: doorstep starts a new worker.
    Listener,
}

/// One server's medians.
pub struct Reload {
    peer: Peer,
    change: Change,
    /// From the command until the last site answers by the new configuration.
    milliseconds: f64,
    /// Of the server and of the command, until all is quiet again.
    cpu_milliseconds: f64,
    /// Proportional set size of all the server's processes: before, and after all rounds.
    memory: (u64, u64),
}

/// # Errors
/// When a server does not start, or does not take a configuration.
pub fn measure(lab: &Lab) -> Result<Vec<Reload>> {
    println!("\n━━ {NAME}: 1,000 sites, folders and apps");
    let servers = [
        (Peer::Doorstep, Change::Nothing),
        (Peer::Doorstep, Change::Listener),
        (Peer::Nginx, Change::Nothing),
        (Peer::Nginx, Change::Listener),
        (Peer::Caddy, Change::Nothing),
        (Peer::Caddy, Change::Listener),
    ];
    servers.into_iter().map(|(peer, change)| one(peer, change, lab)).collect()
}

fn one(peer: Peer, change: Change, lab: &Lab) -> Result<Reload> {
    let server = Server::start(peer, Setup::Sites(SITES), lab, Cores::One)?;
    let memory = || -> Result<u64> {
        std::thread::sleep(Duration::from_secs(1));
        Ok(process::proportional(server.pid())?.iter().sum())
    };
    let before = memory()?;
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for number in 1..=u32::try_from(ROUNDS)? {
        let more = change == Change::Listener && number % 2 == 1;
        let another_port = if more { Some(free_port()?) } else { None };
        let (waited, worked) = round(peer, &server, lab, Revision { number, another_port })?;
        times.push(waited.as_secs_f64() * 1e3);
        cpu.push(worked.as_secs_f64() * 1e3);
    }
    let (milliseconds, cpu_milliseconds, memory) = (median(times), median(cpu), (before, memory()?));
    let reload = Reload { peer, change, milliseconds, cpu_milliseconds, memory };
    println!("{:<9} {change:?}: {}", peer.name(), reload.shown());
    Ok(reload)
}

/// One reload: how long until it shows, and what CPU time it took.
fn round(peer: Peer, server: &Server, lab: &Lab, revision: Revision) -> Result<(Duration, Duration)> {
    let config = SITES.write(peer, lab, server.port, revision)?;
    let said = lab.folder.join("reload.log");
    let output = File::create(&said)?;
    let (ours, theirs) = (CpuTime::of(server.pid())?, CpuTime::of_ended_children()?);
    let began = Instant::now();
    let mut command = peer.reload(lab, &config);
    let mut command = command.stdout(output.try_clone()?).stderr(output).spawn()?;
    let (host, expected) = (sites::host(SITES.count - 1), format!("revision {}", revision.number));
    while !ask(server.port, &host, "/").is_some_and(|answer| answer.contains(&expected)) {
        if began.elapsed() > Duration::from_secs(60) {
            bail!("{} does not answer by the new configuration: {}", peer.name(), fs::read_to_string(said)?);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let waited = began.elapsed();
    if !command.wait()?.success() {
        bail!("{} did not reload: {}", peer.name(), fs::read_to_string(said)?);
    }
    // The processes of the old configuration end.
    std::thread::sleep(Duration::from_secs(1));
    let worked = CpuTime::of(server.pid())?.since(ours) + CpuTime::of_ended_children()?.since(theirs);
    Ok((waited, worked))
}

impl Reload {
    fn shown(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        format!(
            "{:.0} ms; {:.0} ms; {:.1} → {:.1} MB",
            self.milliseconds,
            self.cpu_milliseconds,
            megabytes(self.memory.0),
            megabytes(self.memory.1)
        )
    }
}

/// The part of docs/benchmarks.md about this.
pub fn section(reloads: &[Reload]) -> String {
    let mut table = format!(
        "\n## Reload with 1,000 sites (`{NAME}`)\n\n\
         From the command (`doorstep reload`, `nginx -s reload`, `caddy reload`) until the last site answers by the new configuration; CPU time\n\
         of the server and of the command; memory (proportional set size of all processes) before the first and after the {ROUNDS}th reload.\n\n\
         | what changes | doorstep | nginx | caddy |\n|---|---|---|---|\n"
    );
    for (change, title) in [(Change::Nothing, "one site"), (Change::Listener, "one site, and a port to listen on")] {
        let of = |peer| {
            let found = reloads.iter().find(|one| one.change == change && one.peer == peer);
            found.map_or_else(|| "–".to_owned(), Reload::shown)
        };
        let _ = writeln!(table, "| {title} | {} | {} | {} |", of(Peer::Doorstep), of(Peer::Nginx), of(Peer::Caddy));
    }
    table
}
