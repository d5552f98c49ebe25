//! The servers under test: each with its access log on, its other settings as its Debian package has them, and room
//! for as many connections and requests as the load makes.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lab::{Lab, SERVER_CORE, free_port};
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
        match self {
            Self::Doorstep => {
                command.args(["share", "--local", "--quiet", "--port", &port.to_string(), "--log"]);
                command.arg(lab.folder.join(format!("access-{port}.log")));
                match setup {
                    Setup::Proxy { tls } => {
                        command.arg(format!("http://127.0.0.1:{}", lab.app_port)).args(tls.then_some("--tls"));
                    }
                    Setup::Files => {
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

    fn program(self) -> std::ffi::OsString {
        match self {
            Self::Doorstep => doorstep().into(),
            peer => sh::which(peer.name()).map_or_else(|| peer.name().into(), Into::into),
        }
    }
}

fn doorstep() -> std::path::PathBuf {
    sh::target().join("release/doorstep")
}

fn nginx(setup: Setup, lab: &Lab, port: u16, workers: u32) -> String {
    let folder = lab.folder.display();
    let app = lab.app_port;
    let (tls, place) = match setup {
        Setup::Proxy { tls } => {
            (tls, "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';".to_owned())
        }
        Setup::Files => (false, format!("root {folder}/files;")),
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
        Setup::Files => format!("root * {folder}/files\n  file_server"),
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

impl Server {
    /// # Errors
    /// When it does not start to listen.
    pub fn start(peer: Peer, setup: Setup, lab: &Lab, cores: Cores) -> Result<Self> {
        let port = free_port()?;
        let tls = setup == Setup::Proxy { tls: true };
        Self::spawn(
            peer.command(setup, lab, port, cores)?,
            port,
            tls,
            &lab.folder.join(format!("{}-{port}.log", peer.name())),
        )
    }

    /// # Errors
    /// When the program cannot be started, ends, or does not listen in time; the message has its output.
    pub fn spawn(mut command: Command, port: u16, tls: bool, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(15);
        while !server.answers(tls) {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}: {}", fs::read_to_string(log)?);
            }
            if Instant::now() > deadline {
                bail!("{command:?} does not answer on port {port}: {}", fs::read_to_string(log)?);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it says 200; over TLS, whether it accepts a connection.
    fn answers(&self, tls: bool) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let request = format!("GET /100b.bin HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port);
        let mut answer = [0; 12];
        tls || (stream.write_all(request.as_bytes()).is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer.ends_with(b"200"))
    }
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
