use std::path::PathBuf;

use doorstep_model::{Blame, Finding, Severity};
use serde::{Deserialize, Serialize};

/// A protection or limit that this computer does not offer. The program runs without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// The kernel has no Landlock, or it is switched off.
    NoLandlock,
    /// The kernel's Landlock is an early one, which does not know everything that was asked for.
    OldLandlock,
    /// `/tmp` is the common one; `TMPDIR` names this folder.
    SharedTmp { folder: PathBuf },
    /// Without a cgroup of its own, memory is limited per process, by what it has made writable.
    MemoryPerProcess,
    /// No cgroup, so no bound on CPU time.
    NoCpuLimit,
    /// No cgroup, and the user's other processes would count too.
    NoProcessLimit,
}

impl Note {
    /// The same in words, for a person.
    pub fn finding(&self) -> Finding {
        let cgroups = "Run doorstep by `doorstep service install`: systemd then hands it a cgroup to divide.";
        let (id, what, why, fix) = match self {
            Self::NoLandlock => (
                "no-landlock",
                "This kernel has no Landlock.".to_owned(),
                "Rules about folders (`writes`) have no effect.",
                "Boot a kernel of version 5.13 or later, with `landlock` among the words of its `lsm=` parameter.",
            ),
            Self::OldLandlock => (
                "old-landlock",
                "This kernel's Landlock is an early version.".to_owned(),
                "It holds most of the rules about folders, but not all: a file may still be emptied, for instance.",
                "A kernel of version 6.2 or later knows them all.",
            ),
            Self::SharedTmp { folder } => (
                "shared-tmp",
                format!("The program's own temporary folder is {}, by TMPDIR.", folder.display()),
                "A program that does not heed TMPDIR uses the /tmp that all share.",
                "",
            ),
            Self::MemoryPerProcess => (
                "memory-limit-per-process",
                "The memory limit holds for each process alone.".to_owned(),
                "There is no cgroup that would count them together.",
                cgroups,
            ),
            Self::NoCpuLimit => {
                ("no-cpu-limit", "The CPU limit has no effect.".to_owned(), "Only a cgroup can hold it.", cgroups)
            }
            Self::NoProcessLimit => (
                "no-process-limit",
                "The limit of processes has no effect.".to_owned(),
                "Without a cgroup, all other processes of the same user would count too.",
                cgroups,
            ),
        };
        Finding {
            severity: Severity::Note,
            blame: Blame::Environment,
            id,
            what,
            why: why.to_owned(),
            fix: fix.to_owned(),
        }
    }
}
