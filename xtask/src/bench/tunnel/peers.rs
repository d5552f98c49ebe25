//! The peers: rathole and bore, built by Cargo into a folder of the bench's own, and Debian's OpenSSH.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::super::lab::{Lab, SERVER_CORE, free_port};
use super::super::peers::{Server, Sign, pinned};
use super::road::Door;
use crate::sh;

const RATHOLE: &str = "0.5.0";
const BORE: &str = "0.6.0";
/// bore's relay always listens here for its agents.
const BORE_PORT: u16 = 7835;

/// Builds them, once; that takes some minutes.
///
/// # Errors
/// When Cargo cannot.
pub fn install() -> Result<()> {
    let wanted = [
        ("rathole", "rathole", RATHOLE, ["--no-default-features", "--features", "server,client,noise"].as_slice()),
        ("bore", "bore-cli", BORE, &["--locked"]),
    ];
    for (program, package, version, arguments) in wanted {
        if !built(program).exists() {
            let mut cargo = sh::cargo();
            cargo.args(["install", package, "--version", version, "--root"]).arg(folder()).args(arguments);
            sh::run(&mut cargo)?;
        }
    }
    Ok(())
}

fn folder() -> PathBuf {
    sh::target().join("bench-peers")
}

fn built(program: &str) -> PathBuf {
    folder().join("bin").join(program)
}

/// In words, for the page.
pub fn versions() -> String {
    let ssh = sh::read(sh::command("sh").args(["-c", "ssh -V 2>&1"])).unwrap_or_default();
    format!("rathole {RATHOLE}, bore {BORE}, {}", ssh.split(',').next().unwrap_or_default().trim())
}

/// Relay and agent of rathole, over plain TCP or under Noise, for one service.
///
/// # Errors
/// When an end does not start.
pub fn rathole(lab: &Lab, app: u16, noise: bool) -> Result<(Vec<Server>, Door)> {
    let door = Door::plain(free_port()?);
    let services = [(door.port, app)];
    Ok((rathole_of(lab, &services, noise)?, door))
}

/// The same for several services: each a port for visitors and the port of an app.
///
/// # Errors
/// When an end does not start.
pub fn rathole_of(lab: &Lab, services: &[(u16, u16)], noise: bool) -> Result<Vec<Server>> {
    let port = free_port()?;
    let (theirs, ours) = if noise { noise_keys()? } else { (String::new(), String::new()) };
    let mut server = format!("[server]\nbind_addr = \"127.0.0.1:{port}\"\ndefault_token = \"bench\"\n{theirs}");
    let mut client = format!("[client]\nremote_addr = \"127.0.0.1:{port}\"\ndefault_token = \"bench\"\n{ours}");
    for (number, (door, app)) in services.iter().enumerate() {
        server += &format!("[server.services.s{number}]\nbind_addr = \"127.0.0.1:{door}\"\n");
        client += &format!("[client.services.s{number}]\nlocal_addr = \"127.0.0.1:{app}\"\n");
    }
    let mut ends = Vec::new();
    for (end, text) in [("server", server), ("client", client)] {
        let config = lab.folder.join(format!("rathole-{end}-{port}.toml"));
        fs::write(&config, text)?;
        let mut command = pinned(SERVER_CORE, built("rathole"));
        command.arg(format!("--{end}")).arg(&config);
        command.env("RUST_LOG", "error");
        let sign = Sign { port, tls: true, host: None };
        ends.push(Server::spawn(command, sign, &config.with_extension("log"))?);
    }
    Ok(ends)
}

/// The tables of both ends for Noise, with a new key pair.
fn noise_keys() -> Result<(String, String)> {
    let said = sh::read(sh::command(built("rathole")).arg("--genkey"))?;
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with(':'));
    let (private, public) = (lines.next().context("no private key")?, lines.next().context("no public key")?);
    let table = |end: &str, key: &str| format!("[{end}.transport]\ntype = \"noise\"\n[{end}.transport.noise]\n{key}\n");
    Ok((
        table("server", &format!("local_private_key = \"{private}\"")),
        table("client", &format!("remote_public_key = \"{public}\"")),
    ))
}

/// # Errors
/// When an end does not start.
pub fn bore(lab: &Lab, app: u16) -> Result<(Vec<Server>, Door)> {
    let door = Door::plain(free_port()?);
    let mut server = pinned(SERVER_CORE, built("bore"));
    server.args(["server", "--bind-addr", "127.0.0.1", "--secret", "bench"]);
    let mut client = pinned(SERVER_CORE, built("bore"));
    client.args(["local", &app.to_string(), "--local-host", "127.0.0.1", "--to", "127.0.0.1", "--secret", "bench"]);
    client.args(["--port", &door.port.to_string()]);
    let sign = Sign { port: BORE_PORT, tls: true, host: None };
    let server = Server::spawn(server, sign, &lab.folder.join("bore-server.log"))?;
    let client = Server::spawn(client, sign, &lab.folder.join(format!("bore-client-{}.log", door.port)))?;
    Ok((vec![server, client], door))
}

/// A server of one's own, with keys of its own, for the user that runs the bench.
///
/// # Errors
/// When an end does not start.
pub fn ssh(lab: &Lab, app: u16) -> Result<(Vec<Server>, Door)> {
    let folder = lab.folder.join("ssh");
    fs::create_dir_all(&folder)?;
    let (port, door) = (free_port()?, Door::plain(free_port()?));
    for key in ["host", "user"] {
        sh::read(sh::command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key)))?;
    }
    let here = folder.display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host\nAuthorizedKeysFile {here}/user.pub\nPidFile none\n\
         UsePAM no\nStrictModes no\nPermitRootLogin yes\nAllowTcpForwarding yes\nGatewayPorts clientspecified\n"
    );
    fs::write(folder.join("sshd.conf"), config)?;
    // sshd wants to be called by its whole path, and this folder, which its service makes otherwise.
    let program = sh::which("sshd").context("sshd is not there")?;
    if crate::packages::is_root() {
        fs::create_dir_all("/run/sshd")?;
    }
    let mut server = pinned(SERVER_CORE, program);
    server.args(["-D", "-e", "-f"]).arg(folder.join("sshd.conf"));
    let mut client = pinned(SERVER_CORE, "ssh");
    client.args(["-N", "-F", "none", "-p", &port.to_string(), "-i"]).arg(folder.join("user"));
    for option in
        ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes", "LogLevel=ERROR"]
    {
        client.args(["-o", option]);
    }
    client.args(["-R", &format!("127.0.0.1:{}:127.0.0.1:{app}", door.port), "127.0.0.1"]);
    let sign = Sign { port, tls: true, host: None };
    let server = Server::spawn(server, sign, &folder.join("sshd.log"))?;
    let client = Server::spawn(client, sign, &folder.join("ssh.log"))?;
    Ok((vec![server, client], door))
}
