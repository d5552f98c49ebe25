//! Many agents in one process, for tests and benchmarks of a relay.
//!
//! `crowd keys FILE COUNT` makes keys, writes them to FILE, and prints an `agents.toml` that admits them as `agent-0`,
//! `agent-1` and so on. `crowd serve FILE IDENTITIES DOMAIN TARGET` comes to that relay as all of them, by the address and pin of
//! the identity that somebody who joined has in the folder IDENTITIES, and lends the app at TARGET by the name of each.
//! It says `all stand` when the relay granted all names.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_model::{Hostname, UpstreamAddr};
use doorstep_proto::tunnel::Claim;
use doorstep_tunnel::agent::{Agent, AgentOptions, Proxy, Threads};
use doorstep_tunnel::identity::{AgentIdentity, AgentKeyPair};
use doorstep_tunnel::{AgentEvent, Sink, Target};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["keys", file, count] => keys(Path::new(file), count.parse()?),
        ["serve", file, identities, domain, target] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(Path::new(file), Path::new(identities), domain, target.parse()?))
        }
        _ => Err("crowd keys FILE COUNT, or crowd serve FILE IDENTITIES DOMAIN TARGET".into()),
    }
}

fn keys(file: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let mut lines = String::new();
    for number in 0..count {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| "no random numbers")?;
        let key = AgentKeyPair::from_seed(seed).ok_or("no key")?;
        lines += &URL_SAFE_NO_PAD.encode(seed);
        lines.push('\n');
        let public = URL_SAFE_NO_PAD.encode(key.public());
        let joined = "2026-01-01T00:00:00Z";
        println!("[[agent]]\nname = \"agent-{number}\"\njoined = {joined}");
        println!("[[agent.key]]\nkey = \"{public}\"\nadded = {joined}\n");
    }
    Ok(std::fs::write(file, lines)?)
}

async fn serve(file: &Path, identities: &Path, domain: &str, target: SocketAddr) -> Result<(), Box<dyn Error>> {
    let known = AgentIdentity::load(identities, &domain.parse::<Hostname>()?)?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let dialled = UpstreamAddr::Tcp { host: target.ip().to_string(), port: target.port() };
    let mut agents = Vec::new();
    for (number, line) in std::fs::read_to_string(file)?.lines().enumerate() {
        let seed: [u8; 32] = URL_SAFE_NO_PAD.decode(line)?.try_into().map_err(|_| "an odd key")?;
        let name = format!("agent-{number}");
        let key = AgentKeyPair::from_seed(seed).ok_or("no key")?;
        let claim = Claim::Http { name: name.clone(), label: String::new() };
        let options = AgentOptions {
            relays: vec![AgentIdentity { name, key, ..known.clone() }],
            targets: vec![Target::new(claim, Sink::Dial(dialled.clone()))],
            threads: Threads::Given(vec![Handle::current()]),
            software: "crowd".to_owned(),
            proxy: Proxy::none(),
        };
        agents.push(Agent::start(options, sender.clone())?);
        // So many handshakes at once would measure the relay's patience.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut standing = 0;
    while let Some(event) = events.recv().await {
        match event {
            AgentEvent::Lent { .. } => standing += 1,
            AgentEvent::Refused { why, .. } => println!("refused: {why}"),
            AgentEvent::Stopped { why, .. } => println!("stopped: {why}"),
            AgentEvent::Offline { why, .. } => println!("offline: {why}"),
            _ => {}
        }
        if standing == agents.len() {
            println!("all stand");
            standing = 0; // After the relay was away, they come once more.
        }
    }
    Ok(())
}
