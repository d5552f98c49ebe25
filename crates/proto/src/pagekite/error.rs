use super::limits;

/// Whose fault it is that a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The program at the other end of the tunnel.
    Peer,
    /// Something between the two.
    Network,
    /// Whoever drives the machine.
    Ours,
}

/// Why a tunnel cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageKiteError {
    #[error("the other side is no PageKite front-end; it answered {0:?}")]
    NotFrontEnd(String),
    #[error("the other side is no PageKite back-end; it asked {0:?}")]
    NotBackEnd(String),
    #[error("the handshake's head is larger than {} bytes", limits::MAX_HEAD)]
    HeadTooLarge,
    #[error("malformed handshake: {0}")]
    Handshake(&'static str),
    #[error("more than {} kites in one tunnel", limits::MAX_KITES)]
    TooManyKites,
    #[error("challenges that are not ours, or too old, were answered {} times", limits::MAX_CHALLENGES)]
    StaleChallenges,
    #[error("malformed frame: {0}")]
    Frame(&'static str),
    #[error("a frame of more than {} bytes", limits::MAX_FRAME)]
    FrameTooLarge,
    #[error("malformed compression: {0}")]
    Compression(&'static str),
    #[error("more than {} bytes were brought while reading paused", limits::MAX_HELD_BACK)]
    Unheeded,
    #[error("no answer in {} seconds", limits::HANDSHAKE_PATIENCE.as_secs())]
    HandshakeTimeout,
    #[error("silent for {} seconds after a ping", limits::PING_PATIENCE.as_secs())]
    Silent,
    #[error("the connection was cut in the middle of a frame or handshake")]
    Cut,
}

impl PageKiteError {
    pub fn side(&self) -> Side {
        match self {
            Self::Silent | Self::Cut | Self::HandshakeTimeout => Side::Network,
            Self::Unheeded => Side::Ours,
            _ => Side::Peer,
        }
    }
}
