use std::io;

use doorstep_model::Blame;

/// Why this computer, or its network, did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error("no browser was opened: {0}")]
    Browser(String),
    #[error("the mDNS responder did not start: {0}")]
    Mdns(String),
    #[error("{program} could not be run: {source}")]
    Run { program: String, source: io::Error },
    #[error("{program} did not finish within {seconds} s")]
    TimedOut { program: String, seconds: u64 },
}

impl ReachError {
    /// Whose side it is on: always this computer's.
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }
}
