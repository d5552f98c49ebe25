//! Debian's `pagekite` as a child.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const DOMAIN: &str = "kite.lab.test";
pub const SECRET: &str = "s3cr3t";

/// Ended when dropped, as if by `kill -9`.
pub struct Stock {
    child: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Stock {
    /// A front-end that answers on its port.
    pub async fn front_end() -> Self {
        Self::front_end_at(free_port()).await
    }

    pub async fn front_end_at(port: u16) -> Self {
        let domain = format!("--domain=http,https,raw,websocket:{DOMAIN}:{SECRET}");
        let ports = format!("--ports={port}");
        let protos = "--protos=http,https,raw,websocket";
        let mut stock =
            Self::start(port, &["--isfrontend", "--host=127.0.0.1", &ports, protos, "--rawports=virtual", &domain]);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(stock.child.try_wait().unwrap().is_none(), "pagekite ended: {}", stock.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stock
    }

    /// A back-end that comes to `front_end` with `services`, such as `http:kite.lab.test:127.0.0.1:8000:secret`.
    pub fn back_end(front_end: u16, services: &[String], more: &[&str]) -> Self {
        let front = format!("--frontend=127.0.0.1:{front_end}");
        let services: Vec<String> = services.iter().map(|service| format!("--service_on={service}")).collect();
        // Without --new it looks for its domain in the DNS first.
        let mut arguments = vec!["--new", &front];
        arguments.extend(services.iter().map(String::as_str));
        arguments.extend(more);
        Self::start(front_end, &arguments)
    }

    fn start(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("pagekite");
        command.args(["--clean", "--nullui", "--nocrashreport"]).args(arguments);
        command.arg(format!("--logfile={}", folder.path().join("log").display()));
        command.env("HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("this test needs Debian's pagekite: apt-get install -y --no-install-recommends pagekite ({error})")
        });
        Self { child, port, folder }
    }

    pub fn log(&self) -> String {
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

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
