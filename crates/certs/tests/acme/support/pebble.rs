use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use doorstep_model::{ExternalAccount, Issuer, Pem, Secret};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::free_port;

/// Pebble, a small certificate authority for tests. Ends with this value.
pub struct Pebble {
    child: Child,
    pub directory: String,
    pub roots: Pem,
    external: bool,
    /// Its configuration and log.
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    options: PebbleOptions,
}

#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Percent of good nonces that it rejects.
    pub reject_nonces: u8,
    /// Whether an account needs an external one.
    pub external: bool,
    /// How long its certificates are good for, in seconds.
    pub validity: u64,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self { reject_nonces: 5, external: false, validity: 90 * 86400 }
    }
}

const EXTERNAL_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

impl Pebble {
    pub fn is_there() -> bool {
        Command::new("pebble").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }

    pub async fn start(options: &PebbleOptions, dns: SocketAddr, http: u16, tls: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (roots, chain, key) = identity();
        fs::write(path("chain.pem"), chain).unwrap();
        fs::write(path("key.pem"), key).unwrap();
        let port = free_port();
        let mut config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": path("chain.pem"),
            "privateKey": path("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "certificateValidityPeriod": options.validity,
            "domainBlocklist": ["blocked.test"],
            "externalAccountBindingRequired": options.external,
        }});
        if options.external {
            config["pebble"]["externalAccountMACKeys"] = serde_json::json!({ "kid-1": EXTERNAL_KEY });
        }
        fs::write(path("config.json"), config.to_string()).unwrap();
        let arguments =
            ["-strict", "-config", &path("config.json"), "-dnsserver", &dns.to_string()].map(str::to_owned).to_vec();
        let child = spawn(&dir, &arguments, options);
        let pebble = Self {
            child,
            directory: format!("https://127.0.0.1:{port}/dir"),
            roots: Pem { path: "pebble.pem".into(), text: roots.into() },
            external: options.external,
            dir,
            arguments,
            options: options.clone(),
        };
        pebble.wait_until_it_listens(port).await;
        pebble
    }

    pub fn issuer(&self) -> Issuer {
        let account = ExternalAccount { key_id: "kid-1".into(), hmac_key: Secret::new(EXTERNAL_KEY.into()) };
        Issuer {
            name: "pebble".into(),
            directory: self.directory.clone(),
            roots: Some(self.roots.clone()),
            account: self.external.then_some(account),
            profile: None,
        }
    }

    /// Ends it: nobody listens at its address any more.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again: it has forgotten all accounts and orders.
    pub async fn start_again(&mut self) {
        self.stop();
        self.child = spawn(&self.dir, &self.arguments, &self.options);
        let port = self.directory.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).unwrap().0;
        self.wait_until_it_listens(port.parse().unwrap()).await;
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn wait_until_it_listens(&self, port: u16) {
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(since.elapsed() < Duration::from_secs(30), "pebble does not start:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("pebble's last words:\n{}", &log[log.len().saturating_sub(4000)..]);
        }
    }
}

fn spawn(dir: &tempfile::TempDir, arguments: &[String], options: &PebbleOptions) -> Child {
    let log = fs::File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
    Command::new("pebble")
        .args(arguments)
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env("PEBBLE_AUTHZREUSE", "0")
        .env("PEBBLE_WFE_NONCEREJECT", options.reject_nonces.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A root, and a certificate for its own HTTPS with the key.
pub fn identity() -> (String, String, String) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    (root_pem, chain, key.serialize_pem())
}
