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
    #[error("it did not begin to answer within {seconds} s")]
    NoAnswer { seconds: u64 },
    #[error("it took no more of the request for {seconds} s")]
    Stalled { seconds: u64 },
    #[error("its answer is not valid HTTP: {0}")]
    Malformed(HeadError),
    #[error("it sent more than {} interim responses", limits::MAX_INTERIM)]
    TooManyInterim,
    #[error("HTTP/2 with it failed: {0}")]
    Http2(h2::Error),
    #[error("the request cannot be put in HTTP/2")]
    Unwritable,
    #[error("it switched protocols without being asked")]
    UnsolicitedUpgrade,
    #[error("the request's body: {0}")]
    RequestBody(BodyError),
    #[error("too many requests already wait for the app to be ready")]
    QueueFull,
    #[error("the app was not ready within {seconds} s")]
    NotReady { seconds: u64 },
    /// Nobody was there for as long as the request may wait; inside is what the last try came to.
    #[error("{0}")]
    Away(Box<ProxyError>),
    #[error("the request came back to doorstep: the app's address is doorstep's own")]
    Loop,
}

/// Inside of an [`io::Error`] of a connection: the other side says that the app got nothing of what was sent, so that it may
/// be sent again.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unheard(pub Box<dyn std::error::Error + Send + Sync>);

impl ProxyError {
    /// Whether the app certainly got nothing of the request.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self, Self::Broken(error) if error.get_ref().is_some_and(|inner| inner.is::<Unheard>()))
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::Connect(error) => error.blame(),
            Self::RequestBody(error) => error.blame(),
            Self::Away(last) => last.blame(),
            Self::Loop => Blame::Environment,
            Self::Unwritable => Blame::Client,
            _ => Blame::Upstream,
        }
    }

    /// What the client is answered.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect(ConnectError::TimedOut { .. }) | Self::NoAnswer { .. } | Self::Stalled { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            // Not an answer that was bad or late: there was nobody to give one (RFC 9110 section 15.6.4).
            Self::QueueFull | Self::NotReady { .. } | Self::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestBody(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestBody(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::RequestBody(error) if error.blame() == Blame::Client => StatusCode::BAD_REQUEST,
            Self::RequestBody(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Unwritable => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
