use std::io;

use doorstep_model::Blame;

/// Why this computer, or its network, did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error("no browser was opened: {0}")]
    Browser(String),
    #[error("{program} could not be run: {source}")]
    Run { program: String, source: io::Error },
}

impl ReachError {
    /// Whose side it is on: always this computer's.
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }
}
