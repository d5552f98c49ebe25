use std::fmt;
use std::io;
use std::path::PathBuf;

use doorstep_model::Blame;
use serde::{Deserialize, Serialize};

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The new process said what it could not do.
    #[error("{0}")]
    Refused(Refusal),
    /// What is to be started cannot be written down, such as a path that is not UTF-8.
    #[error("the start cannot be described: {0}")]
    Description(#[source] serde_json::Error),
    /// There is no new process at all.
    #[error("doorstep cannot start its own binary ({binary}): {source}")]
    Spawn { binary: PathBuf, source: io::Error },
    /// It did not become the program in time, and was ended.
    #[error("starting took longer than {} seconds, and was given up", crate::limits::LAUNCH_TIME.as_secs())]
    TooSlow,
    /// It ended before it became the program.
    #[error("the process ended while it was being started")]
    Vanished,
}

impl LaunchError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Refused(refusal) => refusal.blame,
            Self::Spawn { .. } | Self::TooSlow | Self::Vanished => Blame::Environment,
            Self::Description(_) => Blame::Upstream,
        }
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.fix,
            Self::Description(_) => "Use names of files and folders that are UTF-8.",
            Self::Spawn { .. } => "See whether memory or the number of processes has run out (`free -h`, `ulimit -u`).",
            Self::TooSlow => "See whether users can be looked up: `getent passwd root` should answer at once.",
            Self::Vanished => "See `dmesg` for a process that was killed for want of memory.",
        }
    }
}

/// What the process could not do on its way to the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub step: Step,
    pub blame: Blame,
    /// What happened, as a whole clause: `the user blog does not exist`.
    pub what: String,
    /// What to do next. May be empty.
    pub fix: String,
}

impl Refusal {
    pub(crate) fn new(step: Step, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let blame = if step == Step::Program || step == Step::Folder { Blame::Upstream } else { Blame::Environment };
        Self { step, blame, what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The steps of a start, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Description,
    ProcessGroup,
    User,
    Cgroup,
    Limits,
    PrivateTmp,
    Landlock,
    /// Becoming the user.
    Identity,
    Folder,
    Files,
    Program,
}

/// The system's reason in words, without its number: nobody looks that up.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
