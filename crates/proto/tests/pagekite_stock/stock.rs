//! Debian's `pagekite` as a child.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const DOMAIN: &str = "kite.lab.test";
pub const SECRET: &str = "s3cr3t";

/// Ended when dropped.
pub struct Stock {
    child: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Stock {
    /// A front-end that answers on its port; `None`, and a word about it, where there is no `pagekite`.
    pub fn front_end() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let domain = format!("--domain=http,https,raw,websocket:{DOMAIN}:{SECRET}");
        let ports = format!("--ports={port}");
        let protos = "--protos=http,https,raw,websocket";
        let mut stock =
            Self::start(port, &["--isfrontend", "--host=127.0.0.1", &ports, protos, "--rawports=virtual", &domain])?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(stock.child.try_wait().unwrap().is_none(), "pagekite ended: {}", stock.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(stock)
    }

    /// A back-end that comes to `front_end` and has an app at `app`.
    pub fn back_end(front_end: u16, app: u16, compress: bool) -> Option<Self> {
        let front = format!("--frontend=127.0.0.1:{front_end}");
        let service = format!("--service_on=http:{DOMAIN}:127.0.0.1:{app}:{SECRET}");
        // Without --new it looks for its domain in the DNS first.
        let mut arguments = vec!["--new", &front, &service];
        if !compress {
            arguments.push("--nozchunks");
        }
        Self::start(front_end, &arguments)
    }

    fn start(port: u16, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("pagekite");
        command.args(["--clean", "--nullui", "--nocrashreport"]).args(arguments);
        command.arg(format!("--logfile={}", folder.path().join("log").display()));
        command.env("HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Self { child, port, folder }),
            Err(error) => {
                // Past the test harness, which would keep it to itself.
                let _ =
                    writeln!(std::io::stderr(), "SKIPPED, since there is no pagekite (apt install pagekite): {error}");
                None
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("pagekite's log:\n{}", self.log());
        }
    }
}
