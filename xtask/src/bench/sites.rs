//! Many sites on one server: the same ones as each server's own configuration says them, and their certificates.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::lab::Lab;
use super::peers::Peer;
use crate::sh;

/// How many sites there are in a case under load.
pub const UNDER_LOAD: usize = 100;

/// Sites that differ in nothing but their names: `s0.example.com`, `s1.example.com` …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sites {
    pub count: usize,
    pub serve: Serve,
    /// Each with a certificate of its own, and the port speaks TLS.
    pub tls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// The lab's files.
    Files,
    /// The lab's app.
    App,
    /// Every other site the files, the rest the app; but the last one says which configuration it is from.
    Mixed,
}

/// What changes from one configuration to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Revision {
    pub number: u32,
    /// A second port to listen on.
    pub another_port: Option<u16>,
}

impl Sites {
    pub const fn under_load(serve: Serve, tls: bool) -> Self {
        Self { count: UNDER_LOAD, serve, tls }
    }

    /// Writes what `peer` reads at its start and when it is told to reload, and says where.
    ///
    /// # Errors
    /// When a file cannot be written, or certificates cannot be made.
    pub fn write(self, peer: Peer, lab: &Lab, port: u16, revision: Revision) -> Result<PathBuf> {
        if self.tls {
            certificates(&lab.folder, self.count)?;
        }
        let text = match peer {
            Peer::Nginx => self.nginx(lab, port, revision),
            Peer::Caddy => self.caddy(lab, port, revision),
            Peer::Doorstep | Peer::Haproxy => self.doorstep(lab, port, revision),
        };
        let file = lab.folder.join(format!("sites-{}-{port}.conf", peer.name()));
        fs::write(&file, text)?;
        Ok(file)
    }

    fn doorstep(self, lab: &Lab, port: u16, revision: Revision) -> String {
        let folder = lab.folder.display();
        let listen: Vec<String> =
            revision.another_port.into_iter().chain([port]).map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let listen = listen.join(", ");
        let (http, https) = if self.tls { (String::new(), listen) } else { (listen, String::new()) };
        let mut text = format!(
            "listen = {{ http = [{http}], https = [{https}] }}\n\
             log = {{ access = \"access.log\" }}\n\
             daemon = {{ state = \"{folder}/state-{port}\" }}\n"
        );
        for number in 0..self.count {
            let place = match self.place(number) {
                Place::Files => format!("root = \"{folder}/files\""),
                Place::App => format!("proxy = \"http://127.0.0.1:{}\"", lab.app_port),
                Place::Text => format!("respond = \"revision {}\"", revision.number),
            };
            let certificate = if self.tls {
                format!("{{ chain = \"{folder}/certs/{number}.pem\", key = \"{folder}/certs/{number}.key\" }}")
            } else {
                "\"none\"".to_owned()
            };
            let _ = writeln!(text, "[site.\"{}\"]\n{place}\ncertificate = {certificate}", host(number));
        }
        text
    }

    fn nginx(self, lab: &Lab, port: u16, revision: Revision) -> String {
        let folder = lab.folder.display();
        let secure = if self.tls { "ssl http2" } else { "" };
        let mut sites = String::new();
        for number in 0..self.count {
            let place = match self.place(number) {
                Place::Files => format!("root {folder}/files;"),
                Place::App => {
                    "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';".to_owned()
                }
                Place::Text => format!("return 200 'revision {}';", revision.number),
            };
            let certificate = if self.tls {
                format!("ssl_certificate {folder}/certs/{number}.pem; ssl_certificate_key {folder}/certs/{number}.key;")
            } else {
                String::new()
            };
            let _ = writeln!(
                sites,
                "server {{ listen 127.0.0.1:{port} {secure}{}; server_name {}; {certificate} location / {{ {place} }} }}",
                // Said once for a port; nginx refuses it a second time.
                if number == 0 { " backlog=4096" } else { "" },
                host(number)
            );
        }
        format!(
            "daemon off; user root; pid nginx-{port}.pid; error_log stderr error; worker_processes 1; worker_rlimit_nofile 20000;
             events {{ worker_connections 8192; }}
             http {{ access_log access-{port}.log combined buffer=64k flush=1s; server_names_hash_max_size 8192;
                     sendfile on; tcp_nopush on; keepalive_requests 100000000; ssl_protocols TLSv1.3;
                     client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
                     upstream app {{ server 127.0.0.1:{}; keepalive 512; keepalive_requests 100000000; }}
                     {sites} }}",
            lab.app_port
        )
    }

    fn caddy(self, lab: &Lab, port: u16, revision: Revision) -> String {
        let folder = lab.folder.display();
        let scheme = if self.tls { "https" } else { "http" };
        // Its door for reloads. Not a port: the number would have to be free.
        let mut text = format!("{{\n  admin unix/{folder}/caddy-{port}.sock\n  auto_https disable_redirects\n}}\n");
        for number in 0..self.count {
            let place = match self.place(number) {
                Place::Files => format!("root * {folder}/files\n  file_server"),
                Place::App => format!("reverse_proxy 127.0.0.1:{}", lab.app_port),
                Place::Text => format!("respond \"revision {}\"", revision.number),
            };
            let certificate = if self.tls {
                format!("tls {folder}/certs/{number}.pem {folder}/certs/{number}.key")
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "{scheme}://{}:{port} {{\n  bind 127.0.0.1\n  log {{\n    output file {folder}/caddy-{port}.log\n  }}\n  {certificate}\n  {place}\n}}",
                host(number)
            );
        }
        text
    }

    fn place(self, number: usize) -> Place {
        match self.serve {
            Serve::Files => Place::Files,
            Serve::App => Place::App,
            Serve::Mixed if number + 1 == self.count => Place::Text,
            Serve::Mixed if number.is_multiple_of(2) => Place::Files,
            Serve::Mixed => Place::App,
        }
    }
}

/// What one site serves.
enum Place {
    Files,
    App,
    Text,
}

/// The name of a site.
pub fn host(number: usize) -> String {
    format!("s{number}.example.com")
}

/// Makes `certs/0.pem`, `certs/0.key` and so on: a P-256 pair for each site, made once and used by all servers.
fn certificates(folder: &Path, count: usize) -> Result<()> {
    let certs = folder.join("certs");
    fs::create_dir_all(&certs)?;
    if certs.join(format!("{}.pem", count.saturating_sub(1))).exists() {
        return Ok(());
    }
    println!("{count} certificates are being made.");
    let script = format!(
        "i=0; while [ $i -lt {count} ]; do \
           [ -e $i.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
             -subj /CN=s$i.example.com -addext subjectAltName=DNS:s$i.example.com -keyout $i.key -out $i.pem 2>&1 || exit 1; \
           i=$((i+1)); done"
    );
    sh::read(sh::command("sh").current_dir(&certs).args(["-c", &script])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_mixed_sites_tells_its_revision() {
        let sites = Sites { count: 3, serve: Serve::Mixed, tls: false };
        let places: Vec<_> = (0..3).map(|number| sites.place(number)).collect();
        assert!(matches!(places[..], [Place::Files, Place::App, Place::Text]));
    }
}
