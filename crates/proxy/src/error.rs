use std::io;

use doorstep_http::BodyError;
use doorstep_model::Blame;
use doorstep_net::ConnectError;
use doorstep_proto::http1::HeadError;
use http::StatusCode;

use crate::limits;

/// Why a request could not be answered by the app.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("it closed the connection without an answer")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("it did not begin to answer within {} s", limits::RESPONSE_HEAD.as_secs())]
    NoAnswer,
    #[error("it took no more of the request for {} s", limits::RESPONSE_HEAD.as_secs())]
    Stalled,
    #[error("its answer is not valid HTTP: {0}")]
    Malformed(HeadError),
    #[error("it sent more than {} interim responses", limits::MAX_INTERIM)]
    TooManyInterim,
    #[error("it switched protocols without being asked")]
    UnsolicitedUpgrade,
    #[error("the request's body: {0}")]
    RequestBody(BodyError),
    #[error("the request came back to doorstep: the app's address is doorstep's own")]
    Loop,
}

impl ProxyError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Connect(error) => error.blame(),
            Self::RequestBody(error) => error.blame(),
            Self::Loop => Blame::Environment,
            _ => Blame::Upstream,
        }
    }

    /// What the client is answered.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect(ConnectError::TimedOut { .. }) | Self::NoAnswer | Self::Stalled => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::RequestBody(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestBody(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::RequestBody(error) if error.blame() == Blame::Client => StatusCode::BAD_REQUEST,
            Self::RequestBody(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Loop => StatusCode::LOOP_DETECTED,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
