//! The servers under test: each with its access log on, its other settings as its Debian package has them, and room
//! for as many connections and requests as the load makes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lab::{LOAD_CORE, Lab, SERVER_CORE, free_port};
use super::sites::{self, Revision, Sites};
use crate::sh;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Doorstep,
    Nginx,
    Haproxy,
    Caddy,
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Passes requests to the lab's app.
    Proxy { tls: bool },
    /// Serves the lab's files.
    Files,
    /// Many names on one port: `doorstep up` with all its defaults.
    Sites(Sites),
}

impl Setup {
    pub fn tls(self) -> bool {
        matches!(self, Self::Proxy { tls: true } | Self::Sites(Sites { tls: true, .. }))
    }
}

/// Where a server may run, which is also its number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    One,
    Two,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Doorstep => "doorstep",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Name and version, as the program itself says.
    pub fn version(self) -> Result<String> {
        let mut command = match self {
            Self::Doorstep => sh::command(doorstep()),
            Self::Nginx => sh::command("sh"),
            Self::Haproxy | Self::Caddy => sh::command(self.name()),
        };
        let text = match self {
            Self::Doorstep => sh::read(command.arg("--version"))?,
            // nginx writes its version to standard error, and may not be on an ordinary user's PATH.
            Self::Nginx => {
                sh::read(command.args(["-c", "PATH=$PATH:/usr/sbin nginx -v 2>&1"]))?.replace("nginx version: ", "")
            }
            Self::Haproxy => sh::read(command.arg("-v"))?,
            Self::Caddy => format!("caddy {}", sh::read(command.arg("version"))?),
        };
        Ok(text.split_whitespace().take(if self == Self::Haproxy { 3 } else { 2 }).collect::<Vec<_>>().join(" "))
    }

    fn command(self, setup: Setup, lab: &Lab, port: u16, cores: Cores) -> Result<Command> {
        let workers = if cores == Cores::One { 1 } else { 2 };
        let mut command = match cores {
            Cores::One => pinned(SERVER_CORE, self.program()),
            Cores::Two => sh::command(self.program()),
        };
        let file = |name: &str, text: String| -> Result<std::path::PathBuf> {
            let path = lab.folder.join(format!("{name}-{port}"));
            fs::write(&path, text)?;
            Ok(path)
        };
        if let Setup::Sites(sites) = setup {
            let config = sites.write(self, lab, port, Revision::default())?;
            self.many_sites(&mut command, lab, &config);
            return Ok(command);
        }
        match self {
            Self::Doorstep => {
                command.args(["share", "--local", "--quiet", "--port", &port.to_string(), "--log"]);
                command.arg(lab.folder.join(format!("access-{port}.log")));
                match setup {
                    Setup::Proxy { tls } => {
                        command.arg(format!("http://127.0.0.1:{}", lab.app_port)).args(tls.then_some("--tls"));
                    }
                    Setup::Files | Setup::Sites(_) => {
                        command.arg(lab.folder.join("files"));
                    }
                }
                command.env("HOME", &lab.folder);
            }
            Self::Nginx => {
                let config = file("nginx.conf", nginx(setup, lab, port, workers))?;
                command.arg("-p").arg(&lab.folder).arg("-c").arg(config);
            }
            Self::Haproxy => {
                command.arg("-db").arg("-f").arg(file("haproxy.cfg", haproxy(setup, lab, port, workers))?);
            }
            Self::Caddy => {
                let config = file("Caddyfile", caddy(setup, lab, port))?;
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
                command.env("GOMAXPROCS", workers.to_string()).env("HOME", &lab.folder);
                command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
            }
        }
        Ok(command)
    }

    /// The same with a configuration of many sites.
    fn many_sites(self, command: &mut Command, lab: &Lab, config: &Path) {
        match self {
            Self::Nginx => command.arg("-p").arg(&lab.folder).arg("-c").arg(config),
            Self::Caddy => {
                command.env("GOMAXPROCS", "1").env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config)
            }
            Self::Doorstep | Self::Haproxy => command.args(["up", "--config"]).arg(config),
        };
        command.env("HOME", &lab.folder);
    }

    /// Has a server of many sites read its configuration again, and ends when it says that it did (nginx: that it will).
    pub fn reload(self, lab: &Lab, config: &Path) -> Command {
        let mut command = pinned(LOAD_CORE, self.program());
        match self {
            Self::Nginx => command.arg("-p").arg(&lab.folder).arg("-c").arg(config).args(["-s", "reload"]),
            Self::Caddy => command.args(["reload", "--adapter", "caddyfile", "--config"]).arg(config),
            Self::Doorstep | Self::Haproxy => command.args(["reload", "--config"]).arg(config),
        };
        command.env("HOME", &lab.folder);
        command
    }

    fn program(self) -> std::ffi::OsString {
        match self {
            Self::Doorstep => doorstep().into(),
            peer => sh::which(peer.name()).map_or_else(|| peer.name().into(), Into::into),
        }
    }
}

pub fn doorstep() -> std::path::PathBuf {
    sh::target().join("release/doorstep")
}

fn nginx(setup: Setup, lab: &Lab, port: u16, workers: u32) -> String {
    let folder = lab.folder.display();
    let app = lab.app_port;
    let (tls, place) = match setup {
        Setup::Proxy { tls } => {
            (tls, "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';".to_owned())
        }
        Setup::Files | Setup::Sites(_) => (false, format!("root {folder}/files;")),
    };
    let secure = if tls { "ssl http2" } else { "" };
    format!(
        "daemon off; user root; pid nginx-{port}.pid; error_log stderr error; worker_processes {workers}; worker_rlimit_nofile 20000;
         events {{ worker_connections 8192; }}
         http {{ access_log access-{port}.log combined buffer=64k flush=1s;
                 sendfile on; tcp_nopush on; keepalive_requests 100000000;
                 client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
                 ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.3;
                 upstream app {{ server 127.0.0.1:{app}; keepalive 512; keepalive_requests 100000000; }}
                 server {{ listen 127.0.0.1:{port} {secure} backlog=4096; location / {{ {place} }} }} }}"
    )
}

fn haproxy(setup: Setup, lab: &Lab, port: u16, workers: u32) -> String {
    let folder = lab.folder.display();
    let secure = match setup {
        Setup::Proxy { tls: true } => format!("ssl crt {folder}/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.3"),
        _ => String::new(),
    };
    format!(
        "global\n  nbthread {workers}\n  maxconn 8192\n  log stdout format raw local0\n\
         defaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n\
         frontend in\n  bind 127.0.0.1:{port} {secure} backlog 4096\n  default_backend app\n\
         backend app\n  server app 127.0.0.1:{}\n",
        lab.app_port
    )
}

fn caddy(setup: Setup, lab: &Lab, port: u16) -> String {
    let folder = lab.folder.display();
    let (scheme, tls) = match setup {
        Setup::Proxy { tls: true } => ("https", format!("tls {folder}/cert.pem {folder}/key.pem")),
        _ => ("http", String::new()),
    };
    let place = match setup {
        Setup::Proxy { .. } => format!("reverse_proxy 127.0.0.1:{}", lab.app_port),
        Setup::Files | Setup::Sites(_) => format!("root * {folder}/files\n  file_server"),
    };
    format!(
        "{{\n  admin off\n  auto_https disable_redirects\n  default_sni localhost\n}}\n\
         {scheme}://localhost:{port}, {scheme}://127.0.0.1:{port} {{\n  bind 127.0.0.1\n  log {{\n    output file {folder}/caddy-{port}.log\n  }}\n  {tls}\n  {place}\n}}\n"
    )
}

/// A command that runs on one core only.
pub fn pinned(core: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = sh::command("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// A running server. It ends when this is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

/// How to find out whether a server is up.
#[derive(Clone, Copy)]
pub struct Sign<'a> {
    pub port: u16,
    /// Then it is enough that it accepts connections.
    pub tls: bool,
    /// Else it has to answer 200 under this name, or under its address.
    pub host: Option<&'a str>,
}

impl Server {
    /// # Errors
    /// When it does not start to listen.
    pub fn start(peer: Peer, setup: Setup, lab: &Lab, cores: Cores) -> Result<Self> {
        let port = free_port()?;
        let host = matches!(setup, Setup::Sites(_)).then(|| sites::host(0));
        let sign = Sign { port, tls: setup.tls(), host: host.as_deref() };
        let log = lab.folder.join(format!("{}-{port}.log", peer.name()));
        Self::spawn(peer.command(setup, lab, port, cores)?, sign, &log)
    }

    /// # Errors
    /// When the program cannot be started, ends, or does not listen in time; the message has its output.
    pub fn spawn(mut command: Command, sign: Sign, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { child, port: sign.port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !sign.is_there() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}: {}", fs::read_to_string(log)?);
            }
            if Instant::now() > deadline {
                bail!("{command:?} does not answer on port {}: {}", sign.port, fs::read_to_string(log)?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Sign<'_> {
    fn is_there(self) -> bool {
        if self.tls {
            return TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        }
        let host = self.host.map_or_else(|| format!("127.0.0.1:{}", self.port), str::to_owned);
        ask(self.port, &host, "/100b.bin").is_some_and(|answer| answer.get(9..12) == Some("200"))
    }
}

/// One request on a connection of its own, and all that comes back; nothing if it cannot be had.
pub fn ask(port: u16, host: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked politely, because a killed nginx leaves its workers behind.
        let _ = sh::read(sh::command("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]));
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
