//! Bounds of tunnels. Those of the protocol itself are in `doorstep_proto::tunnel::limits`.

use std::time::Duration;

/// From a visitor's coming to the app's having taken the connection.
pub const DIAL_APP: Duration = Duration::from_secs(10);
/// The TLS handshake of a visitor whose TLS ends at the agent.
pub const VISITOR_HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that are passed on between visitor and app at a time. A thread has one such buffer each way, not a connection.
pub const COPY: usize = 128 * 1024;
/// The same while whoever is to take them is behind: they wait in memory then.
pub const COPY_SLOW: usize = 16 * 1024;
/// A flow of datagrams is over when nothing went either way for so long.
pub const UDP_IDLE: Duration = Duration::from_secs(120);
/// Flows of datagrams at once, of all targets of this process; each is a socket.
pub const UDP_FLOWS: usize = 512;
