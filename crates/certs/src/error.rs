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
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    /// A file's content.
    #[error("{0}")]
    Pem(String),
    #[error("{path}: {source}")]
    Io { path: std::path::PathBuf, source: std::io::Error },
}

impl CertsError {
    /// Whose side it is on.
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoNames | Self::Generate(_) => Blame::Doorstep,
            Self::Random | Self::Tls(_) | Self::Pem(_) | Self::Io { .. } => Blame::Environment,
        }
    }
}
