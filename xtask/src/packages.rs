//! The Debian packages that tests and benchmarks need. With root they are installed; without, the one line that
//! installs them is printed.

use anyhow::{Result, bail};

use crate::sh;

/// A program somebody needs, the package that has it, and what for.
pub struct Need {
    pub program: &'static str,
    package: &'static str,
    what_for: &'static str,
}

/// What `cargo xtask test` uses.
pub const TESTS: &[Need] = &[
    need("curl", "curl ca-certificates", "end-to-end tests with curl"),
    need("openssl", "openssl", "end-to-end tests of TLS"),
    need("python3", "python3", "all end-to-end tests"),
    need("python3-venv", "python3-venv", "all end-to-end tests"),
    need("node", "nodejs", "the Vite and Node end-to-end tests"),
    need("npm", "npm", "the Vite end-to-end tests"),
    need("chromium", "chromium", "end-to-end tests in a browser"),
    need("chromedriver", "chromium-driver", "end-to-end tests in a browser"),
    need("h2load", "nghttp2-client", "end-to-end tests of HTTP/2 with many streams"),
    need("tmux", "tmux", "end-to-end tests of the terminal"),
    need("unzip", "unzip", "end-to-end tests of zip downloads"),
    need("pagekite", "pagekite", "tests of tunnels to and from stock PageKite"),
    need("pebble", "pebble", "tests of certificates from an authority"),
    need("ip", "iproute2", "end-to-end tests of addresses"),
    need("nft", "nftables", "end-to-end tests of firewalls, and the home router of those of tunnels"),
    need("knotd", "knot", "tests of dynamic DNS at a zone of one's own"),
    need("miniupnpd", "miniupnpd-nftables", "the home router that opens ports"),
    need("upnpc", "miniupnpc", "another program that asks the home router for a port"),
    need("faketime", "faketime", "a clock that is off by a year"),
    need("conntrack", "conntrack", "what a router forgets when it is started anew"),
    need("kdig", "knot-dnsutils", "what a zone's own server says, and services that change it"),
    need("iperf3", "iperf3", "end-to-end tests of lent TCP and UDP ports"),
    need("sshd", "openssh-server", "tests of tunnels through an ssh server"),
    need("ssh", "openssh-client", "tests of tunnels by ssh, both ways"),
    need("systemd-analyze", "systemd", "the test of the systemd unit"),
];

/// What `cargo xtask bench` uses.
pub const BENCHMARKS: &[Need] = &[
    need("nginx", "nginx-light", "the peer that the ratios are to, and the app behind every proxy"),
    need("haproxy", "haproxy", "a peer"),
    need("caddy", "caddy", "a peer"),
    need("wrk", "wrk", "load over HTTP/1.1"),
    need("h2load", "nghttp2-client", "load over HTTP/2"),
    need("openssl", "openssl", "the peers' certificate"),
    need("python3", "python3", "idle connections, and load over TLS under many names"),
    need("taskset", "util-linux", "one core each"),
    need("curl", "curl ca-certificates", "downloads through tunnels"),
    need("sshd", "openssh-server", "a peer of tunnels"),
    need("ssh", "openssh-client", "a peer of tunnels"),
];

const fn need(program: &'static str, package: &'static str, what_for: &'static str) -> Need {
    Need { program, package, what_for }
}

impl Need {
    fn is_met(&self) -> bool {
        match self.program {
            "python3-venv" => sh::read(sh::command("python3").args(["-c", "import venv, ensurepip"])).is_ok(),
            program => sh::which(program).is_some(),
        }
    }
}

/// Whether packages can be installed.
pub fn is_root() -> bool {
    sh::read(sh::command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Installs what is missing, if we may. Gives what is still missing, each in words.
///
/// # Errors
/// With root, when the installation fails: then nothing may be skipped.
pub fn provide(needs: &[Need]) -> Result<Vec<String>> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        println!("All {} programs are there.", needs.len());
        return Ok(Vec::new());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.package.split(' ')).collect();
    if !is_root() {
        println!("Missing, and only root can install it. To run everything:\n");
        println!("    sudo apt-get install -y --no-install-recommends {}\n", packages.join(" "));
        return Ok(missing.iter().map(|need| format!("{} ({} is missing)", need.what_for, need.program)).collect());
    }
    // Services that a package would start (nginx, caddy, avahi) are left as the distribution has them; tests use port 0.
    sh::run(sh::command("apt-get").args(["update", "-q"]))?;
    sh::run(
        sh::command("apt-get")
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(&packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    match needs.iter().find(|need| !need.is_met()) {
        Some(need) => bail!("{} is still missing after installing {}", need.program, need.package),
        None => Ok(Vec::new()),
    }
}
