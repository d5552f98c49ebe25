//! The bench's own folder, files, certificate, and the app behind the proxies.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;

use super::peers::{Server, Sign, pinned};
use crate::sh;

/// The core that servers under test run on.
pub const SERVER_CORE: &str = "0";
/// The core that load and the app behind the proxies share.
pub const LOAD_CORE: &str = "1";

/// Everything that the servers under test have in common.
pub struct Lab {
    pub folder: PathBuf,
    /// Where the app behind the proxies listens.
    pub app_port: u16,
    /// The same over TLS, for tunnels whose visitors encrypt up to the app.
    pub secure_app_port: u16,
    app: Server,
}

impl Lab {
    /// Makes files and certificate, and starts the app: nginx again, without logs, with its files held open.
    ///
    /// # Errors
    /// When a file cannot be written or a program does not start.
    pub fn new() -> Result<Self> {
        let folder = sh::target().join("bench");
        let files = folder.join("files");
        if folder.exists() {
            fs::remove_dir_all(&folder)?; // Access logs of the last run.
        }
        fs::create_dir_all(&files)?;
        // Started by root, what talks to the network is somebody without rights, in doorstep as in others.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        for (name, size) in [("100b.bin", 100), ("10k.bin", 10 << 10), ("1m.bin", 1 << 20)] {
            fs::write(files.join(name), vec![b'x'; size])?;
        }
        sh::read(sh::command("openssl").current_dir(&folder).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ]))?;
        let (certificate, key) =
            (fs::read_to_string(folder.join("cert.pem"))?, fs::read_to_string(folder.join("key.pem"))?);
        fs::write(folder.join("both.pem"), certificate + &key)?;

        let (app_port, secure_app_port) = (free_port()?, free_port()?);
        let body = "x".repeat(100);
        let config = format!(
            "daemon off; user root; pid app.pid; error_log stderr error; worker_processes 1; worker_rlimit_nofile 20000;
             events {{ worker_connections 8192; }}
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100;
                     client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
                     server {{ listen 127.0.0.1:{app_port} backlog=4096; root {};
                               listen 127.0.0.1:{secure_app_port} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;
                               ssl_protocols TLSv1.3; location = /100b.bin {{ return 200 {body}; }} }} }}",
            files.display()
        );
        fs::write(folder.join("app.conf"), config)?;
        let mut nginx = pinned(LOAD_CORE, "nginx");
        nginx.arg("-p").arg(&folder).args(["-c", "app.conf"]);
        let sign = Sign { port: app_port, tls: false, host: None };
        let app = Server::spawn(nginx, sign, &folder.join("app.log"))?;
        Ok(Self { folder, app_port, secure_app_port, app })
    }

    /// The app's process.
    pub fn app_pid(&self) -> u32 {
        self.app.pid()
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
