use std::io;
use std::path::PathBuf;

use doorstep_model::Blame;

/// Why a folder or file cannot be shared at all. What goes wrong with a single request is a response instead.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("there is no {path}. Check the spelling, or the folder you are in", path = path.display())]
    Missing { path: PathBuf },
    #[error("you may not read {path}. Change its permissions, or share as a user who may", path = path.display())]
    Forbidden { path: PathBuf },
    #[error("{path} is not a folder", path = path.display())]
    NotAFolder { path: PathBuf },
    #[error("{path} is neither a file nor a folder, so it cannot be shared", path = path.display())]
    NotAFile { path: PathBuf },
    #[error("{path} cannot be opened: {source}", path = path.display())]
    Open { path: PathBuf, source: io::Error },
}

impl FilesError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// Says what an error while opening `path` means.
    pub(crate) fn opening(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied => Self::Forbidden { path },
            io::ErrorKind::NotADirectory => Self::NotAFolder { path },
            _ => Self::Open { path, source },
        }
    }
}
