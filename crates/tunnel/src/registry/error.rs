use std::io;
use std::path::PathBuf;

use doorstep_model::Blame;

/// Why the relay's memory cannot be used, or what its owner asked for cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    /// Somebody edited it by hand.
    #[error("{path}, line {line}: {reason}")]
    Memory { path: PathBuf, line: usize, reason: String },
    #[error("{path}: {reason}")]
    Identity { path: PathBuf, reason: String },
    #[error("another relay works with {path}")]
    InUse { path: PathBuf },
    #[error("{0}")]
    Domain(String),
    #[error("the relay's memory could not be written: {0}")]
    NotWritten(String),
    #[error("{what}")]
    Refused { what: String, fix: String },
}

impl RegistryError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Refused { .. } | Self::Domain(_) => Blame::Client,
            _ => Blame::Environment,
        }
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> String {
        match self {
            Self::Io { .. } => "Its owner is the user that the relay runs as.".to_owned(),
            Self::Memory { .. } => "Correct the line, then start the relay again.".to_owned(),
            Self::Identity { path, .. } => format!(
                "Put the file back from a backup. Without one, remove {} for a new identity: agents then have to join again.",
                path.display()
            ),
            Self::InUse { .. } => "Stop the other one first: `doorstep stop`.".to_owned(),
            Self::Domain(_) => "Give a host name, such as tun.example.com.".to_owned(),
            Self::NotWritten(_) => "Nothing was changed. Make room on the disk, then try again.".to_owned(),
            Self::Refused { fix, .. } => fix.clone(),
        }
    }
}
