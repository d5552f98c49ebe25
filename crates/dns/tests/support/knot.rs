use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use doorstep_dns::{Kind, Lookup};

/// The key that may change the zone, and its secret.
pub const KEY: (&str, &str) = ("home.", "aG9tZS1ob21lLWhvbWUtaG9tZS1ob21lLWhvbWU=");
pub const ZONE: &str = "example.test";

/// Knot DNS on loopback, with the zone [`ZONE`].
pub struct Knot {
    pub address: SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Knot {
    /// `None` where Knot is not installed, said loudly.
    pub async fn start() -> Option<Self> {
        let program =
            ["/usr/sbin/knotd", "/usr/bin/knotd"].into_iter().find(|path| std::path::Path::new(path).exists());
        let Some(program) = program else {
            assert!(std::env::var_os("CI").is_none(), "Knot is missing");
            eprintln!("\n!!! SKIPPED: Knot is missing, so nothing was tested. To install it: apt-get install knot\n");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dir = folder.path().display();
        let zone = format!(
            "$ORIGIN {ZONE}.\n@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 127.0.0.1\nold 60 A 192.0.2.77\n"
        );
        std::fs::write(folder.path().join("zone"), zone).unwrap();
        let configuration = format!(
            "server:\n  rundir: {dir}\n  listen: {}@{}\ndatabase:\n  storage: {dir}\nkey:\n  - id: {}\n    algorithm: hmac-sha256\n    secret: {}\n\
             acl:\n  - id: home\n    key: {}\n    action: update\nzone:\n  - domain: {ZONE}\n    storage: {dir}\n    file: zone\n    acl: home\n",
            address.ip(),
            address.port(),
            KEY.0,
            KEY.1,
            KEY.0
        );
        let file = folder.path().join("knot.conf");
        std::fs::write(&file, configuration).unwrap();
        let process =
            Command::new(program).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let knot = Self { address, process, _folder: folder };
        let end = Instant::now() + Duration::from_secs(15);
        while knot.says("old", Kind::A).await != ["192.0.2.77"] {
            assert!(Instant::now() < end, "Knot does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(knot)
    }

    /// What it answers about a name in its zone.
    pub async fn says(&self, name: &str, kind: Kind) -> Vec<String> {
        let lookup = Lookup::new(Some(self.address)).unwrap();
        lookup.values(&format!("{name}.{ZONE}"), kind).await.unwrap_or_default()
    }

    /// The settings that may change it.
    pub fn settings(&self) -> doorstep_model::DnsProvider {
        self.settings_with(KEY.1)
    }

    pub fn settings_with(&self, secret: &str) -> doorstep_model::DnsProvider {
        super::provider("rfc2136", &[("server", &self.address.to_string()), ("key_name", KEY.0), ("key", secret)])
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
