//! A certificate authority (Pebble), a name server and a web server on loopback, all of one test's own.

mod ari;
mod dns;
mod pebble;
mod web;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorstep_certs::{
    CertName, CertRequest, CertState, CertStatus, CertTable, Http01Answers, Manager, ManagerOptions, Ports,
};
use doorstep_model::{CertificateSource, Finding, Issuance, Issuer};
use parking_lot::Mutex;

pub use ari::AriFront;
pub use dns::{DnsServer, TSIG_KEY};
pub use pebble::{Pebble, PebbleOptions};
pub use web::{Web, handshake};

/// How long something may take that is meant to happen soon.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Lab {
    pub dns: DnsServer,
    pub web: Web,
    pub pebble: Pebble,
    pub dir: tempfile::TempDir,
    pub table: CertTable,
    pub answers: Http01Answers,
    pub findings: Arc<Mutex<Vec<Finding>>>,
}

impl Lab {
    /// `None`, said loudly, where Pebble is not installed.
    pub async fn start(options: PebbleOptions) -> Option<Self> {
        if !Pebble::is_there() {
            eprintln!(
                "\n!!! SKIPPED: pebble is missing, so nothing was tested. To install it: apt-get install pebble\n"
            );
            return None;
        }
        let (table, answers) = (CertTable::new().unwrap(), Http01Answers::default());
        let dns = DnsServer::start("test").await;
        let web = Web::start(table.clone(), answers.clone()).await;
        let pebble = Pebble::start(&options, dns.address, web.http, web.tls).await;
        Some(Self { dns, web, pebble, dir: tempfile::tempdir().unwrap(), table, answers, findings: Arc::default() })
    }

    pub fn issuance(&self) -> Issuance {
        Issuance { email: Some("me@doorstep.test".into()), issuers: vec![self.pebble.issuer()], ..Issuance::default() }
    }

    pub fn options(&self, names: &[&str]) -> ManagerOptions {
        let findings = self.findings.clone();
        ManagerOptions {
            report: Arc::new(move |finding| findings.lock().push(finding)),
            ports: Ports { http: self.web.http, tls: self.web.tls },
            resolver: Some(self.dns.address),
            ..ManagerOptions::new(self.dir.path(), self.issuance(), vec![request(names)])
        }
    }

    pub fn manager(&self, options: ManagerOptions) -> Manager {
        Manager::new(options, self.table.clone(), self.answers.clone())
    }

    pub fn ids(&self) -> Vec<&'static str> {
        self.findings.lock().iter().map(|finding| finding.id).collect()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

pub fn request(names: &[&str]) -> CertRequest {
    CertRequest {
        site: names.first().map_or_else(String::new, |name| (*name).to_owned()),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        source: CertificateSource::Auto,
        client_ca: None,
        unnamed: false,
    }
}

pub fn status(manager: &Manager, name: &str) -> CertStatus {
    let name: CertName = name.parse().unwrap();
    manager.status().into_iter().find(|status| status.name == name).unwrap()
}

/// Runs the manager until something is so.
pub async fn run_until(manager: &Manager, is_so: impl Fn(&Manager) -> bool) {
    let since = Instant::now();
    let watch = async {
        while !is_so(manager) {
            assert!(since.elapsed() < PATIENCE, "it did not happen: {:#?}", manager.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = manager.clone().run() => unreachable!("it runs until it is dropped"),
    }
}

/// Whether every name has a certificate that is kept on disk.
pub fn all_valid(manager: &Manager) -> bool {
    manager.status().iter().all(|status| {
        status.state == CertState::Valid && status.certificate.as_ref().is_some_and(|certificate| certificate.stored)
    })
}

pub fn any_error(manager: &Manager) -> bool {
    manager.status().iter().any(|status| status.error.is_some())
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn another_issuer(name: &str, issuer: Issuer) -> Issuer {
    Issuer { name: name.to_owned(), ..issuer }
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
