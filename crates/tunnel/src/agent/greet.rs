use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use doorstep_proto::tunnel::{AgentGreeting, AgentGreetingOutput, Code, Purpose, TunnelError, Welcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout_at;

use super::dial::{DialError, Dialed, Dialer};
use crate::identity::AgentKeyPair;
use crate::link::Transport;

/// A connection that the relay welcomed.
pub(super) struct Greeted {
    pub io: Transport,
    pub welcome: Welcome,
    /// The first bytes of what comes after the greeting.
    pub rest: Bytes,
    /// See [`Dialed::address`].
    pub address: Option<SocketAddr>,
    /// This computer's own address.
    pub local: Option<IpAddr>,
}

/// Why a connection was not welcomed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailed {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{relay}: {error}")]
    Greeting { relay: String, error: TunnelError },
}

/// Opens a connection to a relay and proves who we are. Bounded in time.
pub(super) async fn connect(
    dialer: &Dialer,
    address: Option<SocketAddr>,
    key: &AgentKeyPair,
    purpose: Purpose,
    software: &str,
) -> Result<Greeted, ConnectFailed> {
    let dialed = dialer.dial(address).await?;
    let greeted = greet(dialed, key, purpose, software).await;
    greeted.map_err(|error| ConnectFailed::Greeting { relay: dialer.relay(), error })
}

async fn greet(dialed: Dialed, key: &AgentKeyPair, purpose: Purpose, software: &str) -> Result<Greeted, TunnelError> {
    let Dialed { mut io, exporter, address, local } = dialed;
    let mut greeting = AgentGreeting::new(Instant::now(), exporter, key.public(), purpose, software);
    let lost = |error: io::Error| TunnelError::new(Code::Lost, error.to_string());
    loop {
        match greeting.poll_output() {
            Some(AgentGreetingOutput::Sign(transcript)) => greeting.signed(key.sign(&transcript)),
            Some(AgentGreetingOutput::Transmit(bytes)) => {
                io.write_all(&bytes).await.map_err(lost)?;
                io.flush().await.map_err(lost)?;
            }
            Some(AgentGreetingOutput::Welcomed { welcome, rest }) => {
                return Ok(Greeted { io, welcome, rest, address, local });
            }
            Some(AgentGreetingOutput::Failed(error)) => return Err(error),
            None => receive(&mut greeting, &mut io).await,
        }
    }
}

async fn receive(greeting: &mut AgentGreeting, io: &mut Transport) {
    let mut buffer = BytesMut::with_capacity(2048);
    let deadline = greeting.poll_timeout().unwrap_or_else(Instant::now);
    match timeout_at(deadline.into(), io.read_buf(&mut buffer)).await {
        Ok(Ok(1..)) => greeting.received(buffer.freeze()),
        Ok(Ok(0) | Err(_)) => greeting.closed(),
        Err(_) => greeting.handle_timeout(Instant::now()),
    }
}
