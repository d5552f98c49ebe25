use doorstep_model::Blame;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    #[error("a certificate needs at least one name or address")]
    NoNames,
    #[error("the certificate could not be made: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("this computer gave no random numbers for a certificate")]
    Random,
}

impl CertsError {
    /// Whose side it is on.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoNames | Self::Generate(_) => Blame::Doorstep,
            Self::Random => Blame::Environment,
        }
    }
}
