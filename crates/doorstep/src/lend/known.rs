//! What makes this computer known to those who lend it an address: the key that it has for a relay, the secret of a kite.

use std::path::Path;

use doorstep_model::{Hostname, RELAY_PORT, Secret, Tunnel, Via};
use doorstep_pagekite::KiteSecret;
use doorstep_pagekite::client::{ClientOptions as KiteOptions, FrontEndAt, find_secret};
use doorstep_ssh::client::{Builtin, ClientOptions as SshOptions, Key, KnownHosts, Program};
use doorstep_tunnel::identity::{AgentIdentity, IdentityError, agent_identities_dir};

use super::ways::{Known, software};
use crate::exit::{Code, Failure};

/// For whoever shares: keys of relays from the user's own folder, a kite's secret from `kite_secret`, the environment or
/// the settings of the stock program. Reads files.
///
/// # Errors
/// This computer is not known somewhere, and what to do about it.
pub fn of_user(vias: &[Via], kite_secret: Option<&Path>) -> Result<Vec<Known>, Failure> {
    let known = |via: &Via| match via {
        Via::Relay { host, port } => {
            let dir = agent_identities_dir().map_err(|error| unusable(&error))?;
            let identity = identity(&dir, host)?;
            Ok(relay(via, host, *port, identity))
        }
        Via::PageKite { kite, .. } => {
            let home = std::env::var_os("HOME");
            let secret = find_secret(kite.as_str(), kite_secret, home.as_deref().map(Path::new));
            let secret = secret.map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
            Ok(flown(via, secret))
        }
        Via::Ssh { .. } => Ok(by_ssh(via)),
    };
    vias.iter().map(known).collect()
}

/// Relays that whoever runs this has joined. Reads files.
pub fn joined() -> Vec<Via> {
    let domains = agent_identities_dir().and_then(|dir| AgentIdentity::list(&dir)).unwrap_or_default();
    domains.into_iter().map(|domain| Via::Relay { host: domain.to_string(), port: RELAY_PORT }).collect()
}

/// For `[tunnel]`: what the supervisor read.
///
/// # Errors
/// An identity file that cannot be understood.
pub fn of_tunnel(tunnel: &Tunnel) -> anyhow::Result<Vec<Known>> {
    let known = |via: &Via| match via {
        Via::Relay { host, port } => {
            let file = tunnel.identities.iter().find(|(of, _)| of == via).map(|(_, file)| file.reveal());
            let file = file.ok_or_else(|| anyhow::anyhow!("this computer does not know {via} yet"))?;
            let identity = parse(host, &file.text).map_err(|why| anyhow::anyhow!("{}: {why}", file.path.display()))?;
            Ok(relay(via, host, *port, identity))
        }
        Via::PageKite { .. } => {
            let secret = tunnel.kite_secret.as_ref().map(|secret| KiteSecret::new(secret.reveal()));
            Ok(flown(via, secret.ok_or_else(|| anyhow::anyhow!("{via} needs `kite_secret`"))?))
        }
        Via::Ssh { .. } => {
            let files = tunnel.ssh.as_ref().ok_or_else(|| anyhow::anyhow!("{via} needs `ssh_key`"))?;
            let mut options = by_ssh(via);
            if let Known::Ssh(options) = &mut options {
                // The worker starts no program, and reads no files.
                options.program = Program::Builtin(Builtin {
                    keys: vec![Key::Text(Secret::new(files.key.reveal().text.to_string()))],
                    known_hosts: KnownHosts::Text(files.known_hosts.text.to_string()),
                });
            }
            Ok(options)
        }
    };
    tunnel.vias.iter().map(known).collect()
}

/// The text of an identity file for the relay `host`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(host: &str, text: &str) -> Result<AgentIdentity, String> {
    let domain: Hostname = host.parse().map_err(|error| format!("{host} is no domain: {error}"))?;
    AgentIdentity::parse(text, &domain).map_err(|(at, reason)| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        format!("line {line}: {reason}")
    })
}

fn identity(dir: &Path, host: &str) -> Result<AgentIdentity, Failure> {
    let not_joined = || {
        Failure::new(Code::Usage, format!("this computer does not know {host} yet"))
            .because("A relay lends addresses to those only whom its owner invited.")
            .fix(format!(
                "Ask its owner for an invitation, which they get on the relay by:\n  doorstep relay invite NAME\nthen paste the line here:\n  doorstep join …{}",
                others(dir, host)
            ))
    };
    let domain: Hostname = host.parse().map_err(|_| not_joined())?;
    match AgentIdentity::load(dir, &domain) {
        Err(IdentityError::Missing { .. }) => Err(not_joined()),
        loaded => loaded.map_err(|error| unusable(&error)),
    }
}

/// Relays that this computer knows: one of them may have been meant.
fn others(dir: &Path, host: &str) -> String {
    let known = AgentIdentity::list(dir).unwrap_or_default();
    let near = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a.as_str(), host).total_cmp(&strsim::jaro_winkler(b.as_str(), host)));
    match near {
        Some(near) if strsim::jaro_winkler(near.as_str(), host) > 0.8 => format!("\nOr did you mean --via {near}?"),
        _ if known.is_empty() => String::new(),
        _ => {
            let names: Vec<&str> = known.iter().map(Hostname::as_str).collect();
            format!("\nIt knows {}.", names.join(", "))
        }
    }
}

fn unusable(error: &IdentityError) -> Failure {
    Failure::new(Code::Failed, error.to_string()).fix(error.fix())
}

/// A port that was given counts more than the one in the file: the relay may have moved.
fn relay(via: &Via, host: &str, port: u16, mut identity: AgentIdentity) -> Known {
    if port != RELAY_PORT {
        identity.relay = format!("{host}:{port}");
    }
    Known::Relay { via: via.clone(), identity: Box::new(identity) }
}

fn flown(via: &Via, secret: KiteSecret) -> Known {
    let Via::PageKite { kite, frontend, port } = via else { unreachable!("only kites fly") };
    let front_end = FrontEndAt::new(frontend.as_deref().unwrap_or(kite.as_str()), *port);
    let options = KiteOptions {
        domain: kite.to_string(),
        front_ends: vec![front_end],
        secret,
        compress: false,
        software: software(),
        roots: None,
    };
    Known::Kite { via: via.clone(), options }
}

fn by_ssh(via: &Via) -> Known {
    Known::Ssh(SshOptions::from_via(via).expect("it is a way by ssh"))
}
