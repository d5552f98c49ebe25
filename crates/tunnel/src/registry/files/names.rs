//! `names.toml`: who owns which name and port.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use doorstep_model::Hostname;
use doorstep_proto::tunnel::Taken;
use serde::Deserialize;
use toml::Spanned;

use super::{Fault, at, list, parse as parse_toml, quoted};
use crate::registry::agent::owner_id;
use crate::registry::book::{Book, shown};

pub const FILE: &str = "names.toml";

const HEAD: &str = "\
# Who owns which name and port of this relay: they stay an agent's until `doorstep relay forget NAME`.
# `doorstep relay names` shows them. Edit only while the relay is stopped.

# Switched off by `doorstep relay stop NAME`.
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesFile {
    #[serde(default)]
    stopped: Vec<Spanned<String>>,
    #[serde(default)]
    owner: Vec<OwnerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerEntry {
    agent: Spanned<String>,
    #[serde(default)]
    names: Vec<Spanned<String>>,
    #[serde(default)]
    tcp: Vec<Spanned<u16>>,
    #[serde(default)]
    udp: Vec<Spanned<u16>>,
}

/// What the file says.
#[derive(Default)]
pub struct Names {
    owned: Vec<(Arc<str>, Taken)>,
    stopped: BTreeSet<String>,
}

pub fn parse(text: &str, domain: &str) -> Result<Names, Fault> {
    let file: NamesFile = parse_toml(text)?;
    let mut read = Names::default();
    let mut owners: HashMap<Taken, Arc<str>> = HashMap::new();
    for entry in file.owner {
        let agent: Arc<str> = entry.agent.as_ref().as_str().into();
        if agent.is_empty() {
            return Err((at(&entry.agent), "an owner without a name".to_owned()));
        }
        let names = entry.names.iter().map(|name| Ok((at(name), Taken::Name(host(name, domain)?))));
        let tcp = entry.tcp.iter().map(|port| Ok((at(port), Taken::Tcp(*port.as_ref()))));
        let udp = entry.udp.iter().map(|port| Ok((at(port), Taken::Udp(*port.as_ref()))));
        for owned in names.chain(tcp).chain(udp) {
            let (at, taken) = owned?;
            if let Some(other) = owners.insert(taken.clone(), agent.clone()) {
                return Err((at, format!("{} is in the file twice, also for {other}", shown(&taken))));
            }
            read.owned.push((agent.clone(), taken));
        }
    }
    for name in &file.stopped {
        read.stopped.insert(host(name, domain)?);
    }
    Ok(read)
}

fn host(name: &Spanned<String>, domain: &str) -> Result<String, Fault> {
    let host: Hostname = name
        .as_ref()
        .parse()
        .map_err(|error| (at(name), format!("{:?} is not a host name: {error}", name.as_ref())))?;
    match host.as_str().contains('.') {
        true => Ok(host.to_string()),
        false => Ok(format!("{host}.{domain}")),
    }
}

/// Takes the place of what the book had, but for what is being served.
pub fn apply(read: Names, book: &mut Book) {
    let kept: HashSet<&Taken> = read.owned.iter().map(|(_, taken)| taken).collect();
    let known: Vec<Taken> = book.owners.keys().flat_map(|owner| book.claims.owned(*owner)).cloned().collect();
    for taken in known {
        if !kept.contains(&taken) && book.claims.serving(&taken).is_none() {
            book.claims.forget(&taken);
        }
    }
    for (agent, taken) in read.owned {
        let owner = owner_id(&agent);
        book.owners.entry(owner).or_insert(agent);
        book.claims.restore(owner, taken);
    }
    book.stopped = read.stopped;
}

/// What is to be written, taken out of the book so that writing needs no lock.
pub struct Snapshot {
    owners: BTreeMap<Arc<str>, Vec<Taken>>,
    stopped: Vec<String>,
}

impl Snapshot {
    pub fn of(book: &Book) -> Self {
        let owned =
            book.owners.iter().map(|(owner, name)| (name.clone(), book.claims.owned(*owner).cloned().collect()));
        Self { owners: owned.collect(), stopped: book.stopped.iter().cloned().collect() }
    }

    pub fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        let _ = writeln!(out, "stopped = {}", list(&self.stopped));
        for (agent, owned) in &self.owners {
            if owned.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n[[owner]]\nagent = {}", quoted(agent));
            let mut owned = owned.clone();
            owned.sort_unstable();
            let names: Vec<&String> = owned
                .iter()
                .filter_map(|taken| if let Taken::Name(name) = taken { Some(name) } else { None })
                .collect();
            let tcp = owned.iter().filter_map(|taken| if let Taken::Tcp(port) = taken { Some(*port) } else { None });
            let udp = owned.iter().filter_map(|taken| if let Taken::Udp(port) = taken { Some(*port) } else { None });
            if !names.is_empty() {
                let _ = writeln!(out, "names = {}", list(&names));
            }
            for (kind, ports) in [("tcp", tcp.collect::<Vec<u16>>()), ("udp", udp.collect())] {
                if !ports.is_empty() {
                    let _ = writeln!(out, "{kind} = {ports:?}");
                }
            }
        }
        out
    }
}
