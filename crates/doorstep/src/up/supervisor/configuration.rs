//! The configuration: read with everything it names, and checked whole.

use std::path::{Path, PathBuf};

use doorstep_config::{Privileges, Sources};
use doorstep_model::Spec;
use rustix::process::geteuid;

use crate::exit::{Code, Failure};
use crate::up::voice::Voice;

/// Where the configuration is from.
#[derive(Clone, Debug)]
pub enum Written {
    File(PathBuf),
    /// It is what a command line said, as if it stood in a file at `place`.
    Told {
        place: PathBuf,
        text: String,
    },
}

impl Written {
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Told { place: path, .. } => path,
        }
    }

    /// For people.
    pub fn shown(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Told { .. } => "the command line".into(),
        }
    }

    fn gather(&self) -> Sources {
        match self {
            Self::File(path) => Sources::gather(path),
            Self::Told { place, text } => Sources::gather_text(place, text),
        }
    }
}

/// Reads and checks.
///
/// # Errors
/// Everything that is wrong, as it will be shown to a person.
pub fn load(written: &Written, voice: &Voice) -> Result<(Sources, Spec), Failure> {
    let sources = written.gather();
    let outcome = doorstep_config::parse(&sources, privileges());
    let text = outcome.render(false);
    match outcome.spec {
        Some(spec) => {
            if !outcome.diagnostics.is_empty() {
                voice.say(&text);
            }
            Ok((sources, spec))
        }
        None => Err(wrong(written.path(), &text)),
    }
}

/// Checks what was read before.
///
/// # Errors
/// Everything that is wrong.
pub fn parse(sources: &Sources, privileges: Privileges) -> Result<Spec, Failure> {
    let outcome = doorstep_config::parse(sources, privileges);
    let text = outcome.render(false);
    outcome.spec.ok_or_else(|| wrong(&sources.root, &text))
}

/// Who asks decides about defaults, such as ports.
pub fn privileges() -> Privileges {
    let root = geteuid().is_root();
    Privileges { root, low_ports: root || may_bind_low_ports() }
}

/// By the capability, or because the system keeps no ports for root (ip_unprivileged_port_start in ip-sysctl).
fn may_bind_low_ports() -> bool {
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::NET_BIND_SERVICE));
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    capable || first.ok().and_then(|text| text.trim().parse::<u16>().ok()).is_some_and(|first| first <= 80)
}

/// A configuration that could not be put in force.
pub fn refused(problem: &str) -> Failure {
    Failure::new(Code::Failed, "the new configuration could not be put in force").because(problem)
}

fn wrong(path: &Path, text: &str) -> Failure {
    Failure::new(Code::Configuration, format!("{} is not a configuration that can be used\n{text}", path.display()))
}
