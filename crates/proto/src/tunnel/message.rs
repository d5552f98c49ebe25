use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

/// The one version of the protocol there is.
pub const VERSION: u16 = 1;
/// ALPN under which both sides meet, and the token of an HTTP Upgrade.
pub const ALPN: &str = "doorstep/1";
/// Label of the TLS exporter (RFC 8446 section 7.5) whose 32 bytes, without context, bind a proof to its connection.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-doorstep-tunnel-1";

/// 32 bytes of the TLS exporter.
pub type Exporter = [u8; 32];
/// An agent's Ed25519 public key.
pub type AgentKey = [u8; 32];
/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// Names a session; made at random by the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// How a data connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// One stream at a time; its back-pressure is the connection's own.
    Exclusive,
    /// Many streams, each with its credit; and the flows of datagrams.
    Shared,
}

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Control,
    Data {
        session: SessionId,
        sharing: Sharing,
    },
    /// Exchange an invitation for the admission of the key.
    Join {
        invitation: Bytes,
    },
    /// Look from outside whether visitors would get to the address that this connection comes from.
    Probe {
        asks: Vec<ProbeAsk>,
    },
}

/// A port to be tried from outside, at the address that the question comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAsk {
    pub port: u16,
    pub kind: ProbeKind,
}

/// What a probe expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Somebody takes the connection.
    Connect,
    /// `GET /.doorstep/ping/NONCE` for `host` is answered with the nonce.
    Http { host: String, nonce: String },
    /// The same inside TLS, with `host` as the server's name. Whatever certificate there is is told.
    Https { host: String, nonce: String },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// SHA-256 of the server's certificate (DER), where TLS was spoken; the time until the whole answer, in milliseconds.
    Answered {
        certificate: Option<[u8; 32]>,
        millis: u32,
    },
    /// Somebody answered, and not with the nonce: another program, or another computer.
    WrongAnswer,
    Refused,
    TimedOut,
    Unreachable,
    /// In words.
    TlsFailed(String),
    /// The relay was asked too often; it may be asked again after so many seconds.
    Limited(u32),
    /// The relay does not connect to such an address or port.
    Forbidden,
}

/// An agent's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Oldest and newest version that the agent speaks.
    pub versions: (u16, u16),
    /// What the agent sees as its connection's TLS exporter.
    pub exporter: Exporter,
    pub key: AgentKey,
    pub signature: Signature,
    pub purpose: Purpose,
    /// Program and version, for the relay's list of agents.
    pub software: String,
}

/// The relay's answer to a [`Hello`] that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub version: u16,
    /// New for [`Purpose::Control`], repeated for `Data`, of no meaning for `Join`.
    pub session: SessionId,
    /// The agent's name on the relay.
    pub agent: String,
    /// Names under which claims without a name are granted end so.
    pub domain: String,
    pub software: String,
}

/// What an agent wants to be reachable under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// HTTP and HTTPS that ends at the relay. A name without a dot is one under the relay's domain; an empty one is the
    /// relay's choice, the same for the same agent and label each time.
    Http {
        name: String,
        label: String,
    },
    /// TLS that ends at the agent, found by its server name.
    Tls {
        name: String,
    },
    /// A port; 0 is any.
    Tcp {
        port: u16,
    },
    Udp {
        port: u16,
    },
}

/// What a relay grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The whole host name; for ports, the relay's.
    pub host: String,
    pub port: u16,
    /// How long it is granted; whole seconds. The agent renews at half of it.
    pub lease: Duration,
}

/// What is known of a visitor's TLS, where it ended at the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorTls {
    /// As in its handshake: 0x0303 is TLS 1.2, 0x0304 TLS 1.3.
    pub version: u16,
    pub server_name: String,
    pub alpn: String,
}

/// A relay's message for each new stream or flow of datagrams: which claim, and what a PROXY header would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub claim: u32,
    pub visitor: SocketAddr,
    /// The address that the visitor connected to.
    pub local: SocketAddr,
    pub tls: Option<VisitorTls>,
    /// A flow of datagrams from one visitor's address, not a stream of bytes.
    pub datagrams: bool,
}

/// Everything on the wire but the payload of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Hello(Hello),
    Welcome(Welcome),
    Close {
        code: u16,
        detail: String,
    },
    Ping(u64),
    Pong(u64),
    Claim {
        id: u32,
        claim: Claim,
    },
    Granted {
        id: u32,
        grant: Grant,
    },
    Denied {
        id: u32,
        code: u16,
        detail: String,
    },
    Release {
        id: u32,
    },
    Renew {
        id: u32,
    },
    Pool {
        exclusive: u16,
        shared: u16,
    },
    GoAway {
        detail: String,
    },
    Open {
        stream: u32,
        open: Open,
    },
    Accepted {
        stream: u32,
    },
    Fin {
        stream: u32,
    },
    Reset {
        stream: u32,
        code: u16,
    },
    Credit {
        stream: u32,
        bytes: u32,
    },
    Datagram {
        stream: u32,
        payload: Bytes,
    },
    /// The address that a probe's question came from.
    Observed(SocketAddr),
    /// What came of the ask with this index.
    Probed {
        index: u32,
        outcome: ProbeOutcome,
    },
    Beat,
}
