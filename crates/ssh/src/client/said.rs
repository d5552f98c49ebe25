use std::net::SocketAddr;

use doorstep_net::Io;

/// What a session has to tell, whoever speaks ssh.
pub(super) enum Said {
    /// The server's software, from its greeting.
    Software(String),
    /// The server took our key. Its address, where it is known.
    Authenticated(Option<SocketAddr>),
    /// Our request for a target was granted, with this port.
    Granted {
        target: usize,
        port: u16,
    },
    /// It was refused.
    Refused {
        target: usize,
    },
    /// A line on the session's output.
    Line(String),
    Visitor {
        target: usize,
        io: Io,
        peer: SocketAddr,
    },
}
