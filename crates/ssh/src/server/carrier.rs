use std::sync::Arc;

use doorstep_net::{BoxFuture, Io};
use doorstep_proto::tunnel::Code;
use doorstep_tunnel::{Carrier, OpenFailed, Visitor};
use russh::{ChannelOpenFailure, Error};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::channels::HeldChannel;
use super::forward::Forward;
use super::session::Session;
use crate::channel::ChannelStream;
use crate::limits::OPEN;

/// Opens a channel to the client for each stream.
pub(super) struct SshCarrier {
    session: Arc<Session>,
}

impl SshCarrier {
    pub fn new(session: Arc<Session>) -> Self {
        Self { session }
    }
}

impl Carrier for SshCarrier {
    fn open(&self, claim: u32, visitor: Visitor) -> BoxFuture<'_, Result<Io, OpenFailed>> {
        let session = self.session.clone();
        Box::pin(async move {
            let failed = |code| OpenFailed { code, retriable: true };
            let forward = session.forward(claim).ok_or(failed(Code::UnknownClaim))?;
            let place = session.channels().place().ok_or(failed(Code::TooManyStreams))?;
            if forward.is_port {
                session.log(&format!("{} came to port {}", visitor.peer, forward.port));
            }
            let (give, given) = oneshot::channel();
            // In a task of its own: a channel that is asked for comes, also where nobody waits for it any more.
            tokio::spawn(async move {
                let Some(handle) = session.handle().cloned() else { return };
                let Forward { address, port, .. } = forward;
                let (peer, peer_port) = (visitor.peer.ip().to_string(), visitor.peer.port().into());
                let opening = session.channels().opening();
                let opened = handle.channel_open_forwarded_tcpip(address, port, peer, peer_port).await;
                drop(opening);
                let stream = opened.map(|channel| {
                    let id = channel.id();
                    let backlog = session.channels().take(id);
                    // What arrives comes by the session's events; russh's own queue would make the session wait.
                    let (_, half) = channel.split();
                    ChannelStream::new(backlog, half, HeldChannel { session, id, _place: place })
                });
                // Where nobody waits, dropping the stream closes the channel.
                let _ = give.send(stream);
            });
            match timeout(OPEN, given).await {
                Ok(Ok(Ok(stream))) => Ok(Io::Other(Box::new(stream))),
                Ok(Ok(Err(error))) => Err(failed(code(&error))),
                Ok(Err(_)) => Err(failed(Code::Lost)),
                Err(_) => Err(failed(Code::DialTimeout)),
            }
        })
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => Code::DialRefused,
        Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => Code::UnknownClaim,
        Error::ChannelOpenFailure(ChannelOpenFailure::ResourceShortage) => Code::TooManyStreams,
        _ => Code::Lost,
    }
}
