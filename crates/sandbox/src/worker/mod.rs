//! Shutting in the process that reads network bytes.

mod files;
mod seccomp;

use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use doorstep_model::Blame;
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::cause;
use crate::identity::Identity;
use crate::{Note, Refusal, landlocked};

/// Filters of system calls that a confined worker has more than whoever started it.
pub const WORKER_FILTERS: u64 = 4;

/// What the worker may still do after [`confine_worker`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerRules {
    /// Who it becomes, uid and gid, with the further groups that the user database has for them; there need not be such a
    /// user. `None` for an ordinary user, who stays who they are.
    pub user: Option<(u32, u32)>,
    /// Folders and files that it may read: the roots of sites. What the system's own functions need (`/etc`, time zones,
    /// certificate authorities) is added.
    pub read: Vec<PathBuf>,
    /// Folders and files that it may also write: certificates, logs, folders with uploads.
    pub write: Vec<PathBuf>,
    /// TCP ports that it may bind itself: those that a relay lends.
    pub bind: Option<RangeInclusive<u16>>,
    /// Landlock and the filter of system calls. Without, only the user changes (`sandbox = false`).
    pub filter: bool,
}

impl WorkerRules {
    /// Which folders the paths mean right now. Rules hold for folders and not for names: when a reload finds others here,
    /// because one was replaced or made, it takes a new worker to reach them.
    pub fn identities(&self) -> Vec<(PathBuf, Option<(u64, u64)>)> {
        let identity = |path: &PathBuf| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        self.read.iter().chain(&self.write).map(|path| (path.clone(), identity(path))).collect()
    }
}

/// What holds from now on, and what does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    pub notes: Vec<Note>,
    /// Folders of the rules that do not exist. The worker will not reach them, also when they are made later.
    pub missing: Vec<PathBuf>,
}

/// Why the worker cannot be shut in. It must then not read from the network.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("the worker: {0}")]
    User(Refusal),
    #[error("the worker cannot be kept to its folders{}: {source}", at(path))]
    Landlock { path: PathBuf, source: io::Error },
    #[error("the worker cannot give up {what}: {source}")]
    Privileges { what: &'static str, source: io::Error },
    #[error("the worker's system calls cannot be filtered: {0}")]
    Seccomp(String),
}

impl ConfineError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> &str {
        match self {
            Self::User(refusal) => &refusal.fix,
            Self::Landlock { .. } | Self::Privileges { .. } => "",
            Self::Seccomp(_) => {
                "A kernel without seccomp, or a container that forbids it: `sandbox = false` in [daemon] goes without."
            }
        }
    }
}

/// Gives up, for this whole process and for good, everything that serving sites does not need. Call it while there is one
/// thread, with all listeners open.
///
/// In this order: the groups, Landlock (as long as root can open the folders), the user, every capability, the way to new
/// privileges, being read by other processes of the same user, and last the system calls of [`seccomp`].
///
/// # Errors
/// [`ConfineError`]. Some may then be given up and some not.
pub fn confine_worker(rules: &WorkerRules) -> Result<Confinement, ConfineError> {
    let identity = Identity::of_ids(rules.user);
    identity.assume_groups().map_err(ConfineError::User)?;
    drop_bounding_set();
    let mut notes = Vec::new();
    if rules.filter {
        notes.extend(files::shut_in(rules)?);
    }
    identity.assume_user().map_err(ConfineError::User)?;
    let give_up = |what| move |error: rustix::io::Errno| ConfineError::Privileges { what, source: error.into() };
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(give_up("its capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(give_up("new privileges"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(give_up("being traced"))?;
    if rules.filter {
        seccomp::filter().map_err(ConfineError::Seccomp)?;
    }
    let missing = rules.read.iter().chain(&rules.write).filter(|path| !path.exists());
    Ok(Confinement { notes, missing: missing.cloned().collect() })
}

/// A capability that is not in this set cannot come back by any file that is executed. Only root can empty it; for others
/// `no_new_privs` does the same.
fn drop_bounding_set() {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
}

fn at(path: &Path) -> String {
    if path.as_os_str().is_empty() { String::new() } else { format!(" ({})", path.display()) }
}

fn words(error: impl Display) -> String {
    cause(&io::Error::other(error.to_string()))
}

fn landlock(rules: &landlocked::WorkerFiles<'_>) -> Result<Option<Note>, ConfineError> {
    landlocked::worker_files(rules).map_err(|(path, source)| ConfineError::Landlock { path, source })
}
