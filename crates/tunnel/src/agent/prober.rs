use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use doorstep_model::Blame;
use doorstep_proto::tunnel::limits::MAX_PROBES;
use doorstep_proto::tunnel::{Code, Decoded, Decoder, Frame, ProbeAsk, ProbeOutcome, Purpose, TunnelError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::dial::{DialError, Dialer, Proxy};
use super::greet::{ConnectFailed, Greeted, connect};
use crate::identity::AgentIdentity;
use crate::limits::PROBED;

/// Has a relay look from outside whether this computer can be reached.
#[derive(Clone)]
pub struct Prober {
    identity: AgentIdentity,
    software: String,
}

/// What the relay saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The address that this computer's connection came from.
    pub observed: SocketAddr,
    /// One for each ask, in the same order.
    pub outcomes: Vec<ProbeOutcome>,
}

/// Why nobody looked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The relay is older than this, or its owner does not want it.
    #[error("{relay} does not look from outside whether this computer can be reached")]
    NoProber { relay: String },
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{relay}: {error}")]
    Refused { relay: String, error: TunnelError },
    #[error("{relay} did not say what it found")]
    Silent { relay: String },
}

impl ProbeError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Dial(error) => error.blame(),
            Self::NoProber { .. } | Self::Refused { .. } | Self::Silent { .. } => Blame::Upstream,
        }
    }
}

impl Prober {
    /// `software` is program and version, for the relay's log.
    pub fn new(identity: AgentIdentity, software: String) -> Self {
        Self { identity, software }
    }

    /// Whom it asks: the relay's domain.
    pub fn relay(&self) -> String {
        self.identity.domain.to_string()
    }

    /// Has the address looked at that a connection from `from` (one of this computer's; any where it is `None`) comes from.
    /// At most four asks at once count. Never through a proxy: it would be the proxy that is looked at.
    ///
    /// # Errors
    /// [`ProbeError`]; none of them says that this computer cannot be reached.
    pub async fn ask(&self, from: Option<IpAddr>, mut asks: Vec<ProbeAsk>) -> Result<Probed, ProbeError> {
        asks.truncate(MAX_PROBES);
        let count = asks.len();
        let AgentIdentity { relay, domain, pin, .. } = &self.identity;
        let dialer = Dialer::new(relay, Some(domain), *pin, Proxy::none())?.from(from);
        let greeted = connect(&dialer, None, &self.identity.key, Purpose::Probe { asks }, &self.software).await;
        let Greeted { mut io, rest, .. } = greeted.map_err(|failed| self.failed(failed))?;
        let silent = || ProbeError::Silent { relay: self.relay() };
        let read = read(&mut io, rest, count);
        let probed = timeout(PROBED, read).await.map_err(|_| silent())?;
        let probed = probed.map_err(|error| ProbeError::Refused { relay: self.relay(), error })?;
        let _ = io.shutdown().await;
        Ok(probed)
    }

    fn failed(&self, failed: ConnectFailed) -> ProbeError {
        match failed {
            ConnectFailed::Dial(error) => ProbeError::Dial(error),
            // What relays that know of no probes say to a purpose that they do not know.
            ConnectFailed::Greeting { error, .. } if matches!(error.code, Code::NoProber | Code::Malformed) => {
                ProbeError::NoProber { relay: self.relay() }
            }
            ConnectFailed::Greeting { error, .. } => ProbeError::Refused { relay: self.relay(), error },
        }
    }
}

async fn read(io: &mut (impl tokio::io::AsyncRead + Unpin), rest: Bytes, count: usize) -> Result<Probed, TunnelError> {
    let mut decoder = Decoder::new();
    decoder.feed(rest);
    let mut observed = None;
    let mut outcomes: Vec<Option<ProbeOutcome>> = vec![None; count];
    loop {
        match decoder.decode()? {
            Some(Decoded::Frame(Frame::Observed(address))) => observed = Some(address),
            Some(Decoded::Frame(Frame::Probed { index, outcome })) => {
                let slot = usize::try_from(index).ok().and_then(|index| outcomes.get_mut(index));
                let slot = slot.ok_or_else(|| TunnelError::new(Code::Unexpected, "an outcome of no ask"))?;
                *slot = Some(outcome);
            }
            Some(Decoded::Frame(Frame::Close { code, detail })) => {
                return Err(TunnelError::new(Code::from_number(code), detail));
            }
            Some(_) => return Err(Code::Unexpected.into()),
            None => {
                let mut buffer = [0; 2048];
                let length = io.read(&mut buffer).await.unwrap_or(0);
                if length == 0 {
                    return Err(Code::Lost.into());
                }
                decoder.feed(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default()));
            }
        }
        if let Some(observed) = observed
            && outcomes.iter().all(Option::is_some)
        {
            return Ok(Probed { observed, outcomes: outcomes.into_iter().flatten().collect() });
        }
    }
}
