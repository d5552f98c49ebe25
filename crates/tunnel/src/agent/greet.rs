use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use doorstep_proto::tunnel::limits::GREETING;
use doorstep_proto::tunnel::{AgentGreeting, AgentGreetingOutput, Code, Purpose, TunnelError, Welcome};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

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
    let Dialed { mut io, exporter, address, local } = dialer.dial(address).await?;
    let greeting = AgentGreeting::new(Instant::now(), exporter, key.public(), purpose, software);
    let (welcome, rest) = greet(&mut io, greeting, key)
        .await
        .map_err(|error| ConnectFailed::Greeting { relay: dialer.relay(), error })?;
    Ok(Greeted { io, welcome, rest, address, local })
}

async fn greet(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut greeting: AgentGreeting,
    key: &AgentKeyPair,
) -> Result<(Welcome, Bytes), TunnelError> {
    let lost = |error: io::Error| TunnelError::new(Code::Lost, error.to_string());
    loop {
        match greeting.poll_output() {
            Some(AgentGreetingOutput::Sign(transcript)) => greeting.signed(key.sign(&transcript)),
            Some(AgentGreetingOutput::Transmit(bytes)) => {
                let say = async {
                    io.write_all(&bytes).await?;
                    io.flush().await
                };
                timeout(GREETING, say).await.map_err(|_| TunnelError::from(Code::GreetingTimeout))?.map_err(lost)?;
            }
            Some(AgentGreetingOutput::Welcomed { welcome, rest }) => return Ok((welcome, rest)),
            Some(AgentGreetingOutput::Failed(error)) => return Err(error),
            None => receive(&mut greeting, io).await,
        }
    }
}

async fn receive(greeting: &mut AgentGreeting, io: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = BytesMut::with_capacity(2048);
    let deadline = greeting.poll_timeout().unwrap_or_else(Instant::now);
    match timeout_at(deadline.into(), io.read_buf(&mut buffer)).await {
        Ok(Ok(1..)) => greeting.received(buffer.freeze()),
        Ok(Ok(0) | Err(_)) => greeting.closed(),
        Err(_) => greeting.handle_timeout(Instant::now()),
    }
}

#[cfg(test)]
mod tests {
    use doorstep_proto::tunnel::{Frame, SessionId, encode};

    use super::*;

    /// What becomes of a greeting that is answered with `answer`, after which the connection ends.
    async fn answered(answer: &[u8]) -> Result<(Welcome, Bytes), TunnelError> {
        let key = AgentKeyPair::generate().unwrap();
        let greeting = AgentGreeting::new(Instant::now(), [7; 32], key.public(), Purpose::Control, "test");
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        greet(&mut ours, greeting, &key).await
    }

    fn welcome() -> Vec<u8> {
        let text = |text: &str| text.to_owned();
        let welcome = Welcome {
            version: 1,
            session: SessionId([1; 16]),
            agent: text("studio"),
            domain: text("tun.example.com"),
            software: text("doorstep"),
        };
        let mut out = BytesMut::new();
        encode(&Frame::Welcome(welcome), &mut out);
        out.to_vec()
    }

    #[tokio::test]
    async fn an_answer_that_ends_at_any_byte() {
        let whole = welcome();
        for cut in 0..whole.len() {
            assert_eq!(answered(&whole[..cut]).await.unwrap_err().code, Code::Lost, "{cut}");
        }
        let (welcome, rest) = answered(&[&whole[..], b"next"].concat()).await.unwrap();
        assert_eq!((welcome.agent.as_str(), &rest[..]), ("studio", &b"next"[..]));
    }

    #[tokio::test]
    async fn an_answer_that_is_none() {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
            let error = answered(answer).await.unwrap_err();
            assert!(error.code != Code::Lost && !error.to_string().is_empty(), "{error}");
        }
    }
}
