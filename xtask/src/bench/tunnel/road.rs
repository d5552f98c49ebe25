//! The ways to bring visitors to an app, and what it takes to run one.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::super::lab::Lab;
use super::super::peers::Server;
use super::super::process::CpuTime;
use super::{ours, peers};
use crate::sh;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// No tunnel at all.
    Direct,
    /// doorstep: a name, routed by the relay's engine. Visitors come by HTTPS, as HTTP only leads there; TLS ends at the relay.
    Name,
    /// doorstep: a leased port, bytes as they are.
    Port,
    /// doorstep: a name whose TLS ends on the private side.
    EndToEnd,
    Rathole,
    RatholeNoise,
    Bore,
    Ssh,
}

impl Road {
    pub const PLAIN: &[Self] =
        &[Self::Direct, Self::Name, Self::Port, Self::Rathole, Self::RatholeNoise, Self::Bore, Self::Ssh];
    /// Where the visitor speaks TLS to the private side.
    pub const ENCRYPTED: &[Self] = &[Self::Direct, Self::EndToEnd, Self::Rathole, Self::Bore];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct, no tunnel",
            Self::Name => "doorstep, HTTPS name",
            Self::Port => "doorstep, TCP port",
            Self::EndToEnd => "doorstep, end-to-end",
            Self::Rathole => "rathole, plain",
            Self::RatholeNoise => "rathole, noise",
            Self::Bore => "bore, plain",
            Self::Ssh => "ssh -R",
        }
    }
}

/// Where visitors come in.
#[derive(Clone, Debug)]
pub struct Door {
    pub port: u16,
    pub host: String,
    pub tls: bool,
}

impl Door {
    /// A port of this computer, under its own name.
    pub fn plain(port: u16) -> Self {
        Self { port, host: "localhost".to_owned(), tls: false }
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}/{path}", self.host, self.port)
    }

    /// Whether a visitor gets through now.
    pub fn answers(&self) -> bool {
        let mut curl = sh::command("curl");
        curl.args(["-sfk", "--max-time", "2", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "--resolve"]);
        curl.arg(format!("{}:{}:127.0.0.1", self.host, self.port)).arg(self.url("100b.bin"));
        let done = curl.stdin(Stdio::null()).stderr(Stdio::null()).output();
        done.is_ok_and(|done| done.stdout == b"200") // A redirect brings nobody through.
    }

    /// # Errors
    /// When nobody gets through in half a minute.
    pub fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            if Instant::now() > deadline {
                bail!("{} does not answer", self.url("100b.bin"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// A road that is open.
pub struct Tunnel {
    pub road: Road,
    pub door: Door,
    /// Relay and agent, or what the peer calls them. The app, too, where it does the TLS that doorstep does itself elsewhere.
    servers: Vec<Server>,
    also: Option<u32>,
}

impl Tunnel {
    /// Starts both ends and waits until a visitor gets through. With `tls` the app speaks TLS.
    ///
    /// # Errors
    /// When an end does not start, or nobody gets through.
    pub fn start(road: Road, lab: &Lab, tls: bool) -> Result<Self> {
        let app = if tls { lab.secure_app_port } else { lab.app_port };
        let (servers, mut door) = match road {
            Road::Direct => (Vec::new(), Door::plain(app)),
            Road::Name | Road::Port | Road::EndToEnd => ours::start(road, lab)?,
            Road::Rathole => peers::rathole(lab, app, false)?,
            Road::RatholeNoise => peers::rathole(lab, app, true)?,
            Road::Bore => peers::bore(lab, app)?,
            Road::Ssh => peers::ssh(lab, app)?,
        };
        door.tls |= tls;
        door.wait().map_err(|error| error.context(road.name()))?;
        Ok(Self { road, door, servers, also: tls.then(|| lab.app_pid()) })
    }

    /// CPU time of both ends so far.
    ///
    /// # Errors
    /// When one of them has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let pids = self.servers.iter().map(Server::pid).chain(self.also);
        pids.map(|pid| Ok(CpuTime::of(pid)?.total())).sum()
    }
}
