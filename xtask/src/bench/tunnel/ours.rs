//! doorstep's own tunnels: a relay as `doorstep up` runs it, and an agent as `doorstep share --via` does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::lab::{Lab, SERVER_CORE, free_port};
use super::super::peers::{Server, Sign, doorstep, pinned};
use super::road::{Door, Road};
use crate::sh;

/// Names are lent beneath this one, which leads to this computer everywhere.
pub const DOMAIN: &str = "localhost";

/// A relay that runs.
pub struct Relay {
    pub server: Server,
    pub https: u16,
    /// A port that may be leased.
    pub leased: u16,
    config: PathBuf,
}

impl Relay {
    /// With what `doorstep relay` has by default, but for a certificate from a file and limits that are out of the way.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(lab: &Lab, agents: Option<&str>) -> Result<Self> {
        let (http, https, leased) = (free_port()?, free_port()?, free_port()?);
        let here = lab.folder.display();
        let state = lab.folder.join(format!("relay-{https}"));
        if let Some(agents) = agents {
            fs::create_dir_all(state.join("relay"))?;
            fs::write(state.join("relay/agents.toml"), agents)?;
        }
        let text = format!(
            "listen = {{ http = [\"127.0.0.1:{http}\"], https = [\"127.0.0.1:{https}\"] }}\n\
             log = {{ access = \"access.log\" }}\n\
             daemon = {{ state = \"{}\" }}\n\
             [relay]\ndomain = \"{DOMAIN}\"\nports = \"{leased}-{leased}\"\n\
             certificate = {{ chain = \"{here}/cert.pem\", key = \"{here}/key.pem\" }}\n",
            state.display()
        );
        let config = lab.folder.join(format!("relay-{https}.toml"));
        fs::write(&config, text)?;
        let mut command = pinned(SERVER_CORE, doorstep());
        command.args(["up", "--config"]).arg(&config).env("HOME", &lab.folder);
        let sign = Sign { port: https, tls: true, host: None };
        let server = Server::spawn(command, sign, &config.with_extension("log"))?;
        Ok(Self { server, https, leased, config })
    }

    /// Its ports are open a moment before its control socket is.
    fn invite(&self) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut command = sh::command(doorstep());
            match sh::read(command.args(["relay", "invite", "bench", "--config"]).arg(&self.config)) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
                said => return said,
            }
        }
    }

    fn home(&self, lab: &Lab) -> PathBuf {
        lab.folder.join(format!("agent-{}", self.https))
    }

    /// Where the identity of the agent that was admitted is.
    pub fn identities(&self, lab: &Lab) -> PathBuf {
        self.home(lab).join(".config/doorstep/relays")
    }

    /// Admits an agent, whose identity is kept in a folder of its own; gives what its commands are to be started with.
    ///
    /// # Errors
    /// When it is not admitted.
    pub fn admit(&self, lab: &Lab) -> Result<impl Fn() -> Command + use<>> {
        let home = self.home(lab);
        fs::create_dir_all(&home)?;
        // An ordinary user, as it is on laptops; root would keep its identity in /etc.
        let root = crate::packages::is_root();
        if root {
            sh::read(sh::command("chown").arg("nobody").arg(&home))?;
        }
        let agent = move || {
            let mut command = pinned(SERVER_CORE, if root { "setpriv".into() } else { doorstep() });
            if root {
                command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--inh-caps=-all"]);
                command.arg(doorstep());
            }
            command.env("HOME", &home).env_remove("XDG_CONFIG_HOME");
            command
        };
        let said = self.invite()?;
        let line = said.split_whitespace().skip_while(|word| *word != "join").nth(1).context("no invitation")?;
        sh::read(agent().args(["join", line]))?;
        Ok(agent)
    }
}

/// Relay and agent for one of our roads.
///
/// # Errors
/// When an end does not start.
pub fn start(road: Road, lab: &Lab) -> Result<(Vec<Server>, Door)> {
    let relay = Relay::start(lab, None)?;
    let mut agent = relay.admit(lab)?();
    let app = lab.app_port;
    let via = format!("{DOMAIN}:{}", relay.https);
    agent.arg("share").arg(match road {
        Road::Port => format!("tcp:127.0.0.1:{app}"),
        _ => format!("http://127.0.0.1:{app}"),
    });
    agent.args(["--quiet", "--via", &via]);
    if road != Road::Port {
        agent.args(["--local", "--port", "0"]);
    }
    let name = Door { port: relay.https, host: format!("bench.{DOMAIN}"), tls: true };
    let door = match road {
        Road::Port => {
            agent.args(["--remote-port", &relay.leased.to_string()]);
            Door::plain(relay.leased)
        }
        Road::EndToEnd => {
            agent.args(["--name", "bench", "--e2e", "--directory", "local"]);
            name
        }
        _ => {
            agent.args(["--name", "bench"]);
            name
        }
    };
    let sign = Sign { port: relay.https, tls: true, host: None };
    let agent = Server::spawn(agent, sign, &lab.folder.join(format!("agent-{}.log", relay.https)))?;
    Ok((vec![relay.server, agent], door))
}
