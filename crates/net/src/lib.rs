//! Everything that touches a socket: listeners, TLS, connections, drain.

mod conn;
mod connect;

pub use conn::{BoxIo, Conn, ConnInfo, Duplex, Io, TlsInfo};
pub use connect::{BoxFuture, Connect, ConnectError};
