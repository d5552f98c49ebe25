//! Memory of tunnels that nobody uses: a relay with 1,000 of them, and an agent with one.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::lab::{Lab, free_port};
use super::super::peers::Server;
use super::super::process;
use super::ours::{self, Relay};
use super::{peers, road};
use crate::sh;

pub const NAME: &str = "tunnel-idle";

const TUNNELS: usize = 1000;
/// Until tunnels that nobody visits have closed the connections that they do not need.
const REST: Duration = Duration::from_secs(70);

/// What one kind of tunnel takes, in bytes: proportional set size of all processes of an end.
pub struct Idle {
    pub what: &'static str,
    /// With nobody there, and with 1,000.
    pub relay: (u64, u64),
    /// One agent with one tunnel.
    pub agent: u64,
}

/// # Errors
/// When an end does not start, or not all tunnels come to stand.
pub fn measure(lab: &Lab) -> Result<Vec<Idle>> {
    println!("\n━━ {NAME}: {TUNNELS} tunnels that nobody uses");
    let measures: [&dyn Fn() -> Result<Idle>; 2] = [&|| doorstep(lab), &|| rathole(lab)];
    let mut all = Vec::new();
    for measure in measures {
        let idle = measure()?;
        println!("{:<20} {}", idle.what, idle.shown());
        all.push(idle);
    }
    Ok(all)
}

/// 1,000 agents with a key and a name each, in one process of the test's; and one as people run it.
fn doorstep(lab: &Lab) -> Result<Idle> {
    sh::run(sh::cargo().args(["build", "--release", "--package", "doorstep-tunnel", "--example", "crowd"]))?;
    let crowd = sh::target().join("release/examples/crowd");
    let keys = lab.folder.join("crowd.keys");
    let agents = sh::read(sh::command(&crowd).arg("keys").arg(&keys).arg(TUNNELS.to_string()))?;
    let relay = Relay::start(lab, Some(&agents))?;
    let mut agent = relay.admit(lab)?();
    let via = format!("{}:{}", ours::DOMAIN, relay.https);
    let app = format!("http://127.0.0.1:{}", lab.app_port);
    agent.args(["share", &app, "--local", "--quiet", "--port", "0", "--via", &via, "--name", "bench"]);
    let sign = super::super::peers::Sign { port: relay.https, tls: true, host: None };
    let agent = Server::spawn(agent, sign, &lab.folder.join("idle-agent.log"))?;
    road::Door { port: relay.https, host: format!("bench.{}", ours::DOMAIN), tls: true }.wait()?;
    let empty = settled(&relay.server)?;
    let mut command = sh::command(&crowd);
    command.arg("serve").arg(&keys).arg(relay.identities(lab)).arg(ours::DOMAIN);
    command.arg(format!("127.0.0.1:{}", lab.app_port));
    let log = lab.folder.join("crowd.log");
    let sign = super::super::peers::Sign { port: relay.https, tls: true, host: None };
    let crowd = Server::spawn(command, sign, &log)?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while !std::fs::read_to_string(&log)?.contains("all stand") {
        if Instant::now() > deadline {
            bail!("not all {TUNNELS} agents came in: {}", std::fs::read_to_string(&log)?);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(REST);
    let idle = Idle { what: "doorstep", relay: (empty, settled(&relay.server)?), agent: settled(&agent)? };
    drop(crowd);
    Ok(idle)
}

/// One agent with 1,000 services: rathole's way to have so many tunnels.
fn rathole(lab: &Lab) -> Result<Idle> {
    let (few, _) = peers::rathole(lab, lab.app_port, false)?;
    let services: Vec<(u16, u16)> = (0..TUNNELS).map(|_| Ok((free_port()?, lab.app_port))).collect::<Result<_>>()?;
    let many = peers::rathole_of(lab, &services, false)?;
    for (port, _) in services.iter().step_by(100) {
        road::Door::plain(*port).wait()?;
    }
    let (one, other) = (few.first().context("no relay")?, few.last().context("no agent")?);
    let full = many.first().context("no relay")?;
    Ok(Idle { what: road::Road::Rathole.name(), relay: (settled(one)?, settled(full)?), agent: settled(other)? })
}

fn settled(server: &Server) -> Result<u64> {
    std::thread::sleep(Duration::from_secs(2));
    Ok(process::proportional(server.pid())?.iter().sum())
}

impl Idle {
    fn shown(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let ((empty, full), agent) = (self.relay, self.agent);
        format!("relay {:.1} → {:.1} MB, agent {:.1} MB", megabytes(empty), megabytes(full), megabytes(agent))
    }
}

/// The part of the page about this; what is too much is added to `short`.
pub fn section(idle: &[Idle], short: &mut Vec<String>) -> String {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let mut table = format!(
        "\n### Tunnels that nobody uses (`{NAME}`)\n\n\
         Memory in MB (proportional set size of all processes): a relay with one tunnel at most and with {TUNNELS}, and an agent with one.\n\
         doorstep's tunnels are {TUNNELS} agents with a key and a session each; rathole's are {TUNNELS} services of one agent.\n\n\
         | | relay, at rest | relay, 1,000 tunnels | agent |\n|---|---|---|---|\n"
    );
    for one in idle {
        let (empty, full) = one.relay;
        let _ =
            writeln!(table, "| {} | {} | {} | {} |", one.what, megabytes(empty), megabytes(full), megabytes(one.agent));
    }
    table += "\nGoals: the relay with 1,000 ≤ 30 MB, the agent ≤ 10 MB.\n";
    if let Some(ours) = idle.iter().find(|one| one.what == "doorstep") {
        if ours.relay.1 > 30_000_000 {
            short.push(format!(
                "`{NAME}`: a relay with {TUNNELS} tunnels takes {} MB; the goal is ≤ 30 MB.",
                megabytes(ours.relay.1)
            ));
        }
        if ours.agent > 10_000_000 {
            short.push(format!("`{NAME}`: an idle agent takes {} MB; the goal is ≤ 10 MB.", megabytes(ours.agent)));
        }
    }
    table
}
