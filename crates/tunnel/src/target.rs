use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorstep_model::UpstreamAddr;
use doorstep_net::{Handler, TlsSelect};
use doorstep_proto::tunnel::{Claim, TunnelError};

/// Something that an agent lends.
#[derive(Clone)]
pub struct Target {
    pub claim: Claim,
    pub sink: Sink,
    /// An app that is dialled is told who the visitor is by a PROXY protocol header (version 2), before the first byte.
    pub proxy_header: bool,
}

impl Target {
    pub fn new(claim: Claim, sink: Sink) -> Self {
        Self { claim, sink, proxy_header: false }
    }
}

/// Where an agent's visitors go. Nothing else is ever dialled, whatever a relay says.
#[derive(Clone)]
pub enum Sink {
    /// To an engine of this process; for [`Claim::Http`] as connections of [`doorstep_net::ConnInfo::relayed`].
    Serve(Arc<dyn Handler>),
    /// To an engine of this process, after TLS with the visitor ended here. For [`Claim::Tls`] and [`Claim::Tcp`].
    ServeTls { select: Arc<dyn TlsSelect>, handler: Arc<dyn Handler> },
    /// To a program, bytes as they are.
    Dial(UpstreamAddr),
    /// Datagrams, each visitor's from a socket of its own.
    DialUdp(SocketAddr),
}

/// How an agent fares. `target` is an index into its targets.
#[derive(Clone, Debug)]
pub enum AgentEvent {
    Connecting {
        relay: String,
    },
    /// The session stands. `name` is what the relay calls this agent.
    Online {
        relay: String,
        name: String,
    },
    /// Visitors reach the target at `address`: an URL for web targets, `tcp://host:port` and `udp://host:port` for others.
    Lent {
        target: usize,
        address: String,
    },
    Refused {
        target: usize,
        why: TunnelError,
    },
    /// The session is over; it is tried again.
    Offline {
        relay: String,
        why: String,
        again_in: Duration,
    },
    /// Words from the other side that people should see.
    Notice {
        relay: String,
        text: String,
    },
    /// It is over for good, until somebody does something.
    Stopped {
        why: String,
        fix: String,
    },
}
