//! `agents.toml`: who may come in, with which keys, and what they may have; and invitations that are not over.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_proto::tunnel::AgentKey;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::{Fault, at, list, moment, parse as parse_toml, quoted};
use crate::limits::{AGENT_NAMES, AGENT_PORTS, AGENT_STREAMS};
use crate::registry::agent::AgentLimits;
use crate::registry::book::{AgentRecord, Book, InvitationRecord, KeyRecord};
use crate::registry::is_agent_name;

pub const FILE: &str = "agents.toml";

const HEAD: &str = "\
# Agents that this relay lends to, and what each may have. `doorstep relay agents` shows them; `doorstep relay invite`,
# `revoke` and `add-key` change them. Edit only while the relay is stopped.
#
#   names       patterns for names under the relay's domain, with at most one *; [] is any
#   most_names  how many names
#   ports       how many leased ports, TCP and UDP together
#   streams     connections at once
#   rate        bytes per second each way; without it, any
#   requests    per second; without it, any
#   until       from then on not let in any more; without it, for ever
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentsFile {
    #[serde(default)]
    agent: Vec<AgentEntry>,
    #[serde(default)]
    invitation: Vec<InvitationEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentEntry {
    name: Spanned<String>,
    joined: Spanned<Datetime>,
    #[serde(default)]
    names: Vec<Spanned<String>>,
    most_names: Option<usize>,
    ports: Option<usize>,
    streams: Option<usize>,
    rate: Option<u64>,
    requests: Option<u32>,
    until: Option<Spanned<Datetime>>,
    #[serde(default)]
    key: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    key: Spanned<String>,
    #[serde(default)]
    comment: String,
    added: Spanned<Datetime>,
    #[serde(default)]
    revoked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvitationEntry {
    id: Spanned<String>,
    agent: Spanned<String>,
    expires: Spanned<Datetime>,
    used_by: Option<Spanned<String>>,
    #[serde(default)]
    names: Vec<Spanned<String>>,
    most_names: Option<usize>,
    ports: Option<usize>,
    streams: Option<usize>,
    rate: Option<u64>,
    requests: Option<u32>,
    until: Option<Spanned<Datetime>>,
}

/// What the file says.
#[derive(Default)]
pub struct Agents {
    agents: BTreeMap<Arc<str>, AgentRecord>,
    keys: HashMap<AgentKey, Arc<str>>,
    invitations: BTreeMap<[u8; 16], InvitationRecord>,
}

/// The same fields stand in agents and in invitations.
macro_rules! limits_of {
    ($entry:ident) => {
        (|| {
            let until = $entry.until.as_ref().map(seconds).transpose()?;
            Ok::<_, Fault>(AgentLimits {
                names: $entry.names.iter().map(pattern).collect::<Result<_, _>>()?,
                most_names: $entry.most_names.unwrap_or(AGENT_NAMES),
                ports: $entry.ports.unwrap_or(AGENT_PORTS),
                streams: $entry.streams.unwrap_or(AGENT_STREAMS),
                rate: $entry.rate,
                requests: $entry.requests,
                until,
            })
        })()
    };
}
pub fn parse(text: &str) -> Result<Agents, Fault> {
    let file: AgentsFile = parse_toml(text)?;
    let mut read = Agents::default();
    for entry in file.agent {
        let limits = limits_of! { entry }?;
        let name = agent_name(&entry.name)?;
        let mut record = AgentRecord::new(limits, seconds(&entry.joined)?);
        for one in entry.key {
            let key = bytes(&one.key)?;
            if let Some(other) = read.keys.insert(key, name.clone()) {
                return Err((at(&one.key), format!("this key is in the file twice, also for {other}")));
            }
            let added = seconds(&one.added)?;
            record.keys.push(KeyRecord { key, comment: one.comment, added, revoked: one.revoked });
        }
        if read.agents.insert(name.clone(), record).is_some() {
            return Err((at(&entry.name), format!("there are two agents {name:?}")));
        }
    }
    for entry in file.invitation {
        let record = InvitationRecord {
            agent: agent_name(&entry.agent)?,
            expires: seconds(&entry.expires)?,
            limits: limits_of! { entry }?,
            used_by: entry.used_by.as_ref().map(bytes).transpose()?,
        };
        let id = bytes(&entry.id)?;
        if read.invitations.insert(id, record).is_some() {
            return Err((at(&entry.id), "this invitation is in the file twice".to_owned()));
        }
    }
    Ok(read)
}

/// Takes the place of what the book had; counters of agents that stay go on.
pub fn apply(read: Agents, book: &mut Book) {
    let Agents { mut agents, keys, invitations } = read;
    for (name, record) in &mut agents {
        if let Some(old) = book.agents.get(name).filter(|old| old.limits == record.limits) {
            record.meter = old.meter.clone();
        }
    }
    (book.agents, book.keys, book.invitations) = (agents, keys, invitations);
}

fn agent_name(name: &Spanned<String>) -> Result<Arc<str>, Fault> {
    match is_agent_name(name.as_ref()) {
        true => Ok(name.as_ref().as_str().into()),
        false => Err((at(name), format!("{:?}: an agent's name is letters, digits, `-`, `_`, `.`", name.as_ref()))),
    }
}

fn pattern(pattern: &Spanned<String>) -> Result<String, Fault> {
    crate::registry::check_pattern(pattern.as_ref()).map_err(|reason| (at(pattern), reason))?;
    Ok(pattern.as_ref().clone())
}

fn seconds(moment: &Spanned<Datetime>) -> Result<u64, Fault> {
    moment::read(moment.as_ref()).ok_or_else(|| (at(moment), "a moment such as 2026-11-24T18:42:00Z".to_owned()))
}

fn bytes<const N: usize>(text: &Spanned<String>) -> Result<[u8; N], Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text.as_ref()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        (at(text), format!("{:?} is not {} letters and digits of base64url", text.as_ref(), (N * 4).div_ceil(3)))
    })
}

/// What is to be written, taken out of the book so that writing needs no lock.
pub struct Snapshot {
    agents: Vec<(Arc<str>, AgentRecord)>,
    invitations: Vec<([u8; 16], InvitationRecord)>,
}

impl Snapshot {
    pub fn of(book: &Book) -> Self {
        Self {
            agents: book.agents.iter().map(|(name, record)| (name.clone(), record.clone())).collect(),
            invitations: book.invitations.iter().map(|(id, record)| (*id, record.clone())).collect(),
        }
    }

    pub fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        for (name, record) in &self.agents {
            let joined = moment::show(record.joined);
            let _ = writeln!(out, "\n[[agent]]\nname = {}\njoined = {joined}", quoted(name));
            limits(&mut out, &record.limits);
            for one in &record.keys {
                let key = URL_SAFE_NO_PAD.encode(one.key);
                let _ = writeln!(out, "\n[[agent.key]]\nkey = {}\nadded = {}", quoted(&key), moment::show(one.added));
                if !one.comment.is_empty() {
                    let _ = writeln!(out, "comment = {}", quoted(&one.comment));
                }
                if one.revoked {
                    out += "revoked = true\n";
                }
            }
        }
        for (id, record) in &self.invitations {
            let (id, expires) = (URL_SAFE_NO_PAD.encode(id), moment::show(record.expires));
            let agent = quoted(&record.agent);
            let _ = writeln!(out, "\n[[invitation]]\nid = {}\nagent = {agent}\nexpires = {expires}", quoted(&id));
            if let Some(key) = &record.used_by {
                let _ = writeln!(out, "used_by = {}", quoted(&URL_SAFE_NO_PAD.encode(key)));
            }
            limits(&mut out, &record.limits);
        }
        out
    }
}

fn limits(out: &mut String, limits: &AgentLimits) {
    let AgentLimits { names, most_names, ports, streams, rate, requests, until } = limits;
    let _ = writeln!(out, "names = {}\nmost_names = {most_names}\nports = {ports}\nstreams = {streams}", list(names));
    for (field, value) in [("rate", *rate), ("requests", requests.map(u64::from))] {
        if let Some(value) = value {
            let _ = writeln!(out, "{field} = {value}");
        }
    }
    if let Some(until) = until {
        let _ = writeln!(out, "until = {}", moment::show(*until));
    }
}
