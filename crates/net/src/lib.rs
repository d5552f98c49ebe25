//! Everything that touches a socket: listeners, TLS, connections, drain.
//!
//! The two seams are [`Handler`] (what takes inbound connections) and [`Connect`] (what makes outbound ones).

mod accept;
mod changes;
mod conn;
mod connect;
mod drain;
mod handshake;
pub mod limits;
mod listen;
mod proxied;
mod quota;
mod tls;
mod workers;

pub use accept::{Accepting, Handler, accept_loop};
pub use changes::{NetworkChange, NetworkChanges};
pub use conn::{BoxIo, Conn, ConnInfo, Duplex, Exporter, Io, TlsInfo};
pub use connect::{
    BoxFuture, Connect, ConnectError, Connector, Dial, address as upstream_address, any_certificate, connect_tcp,
    open_unix,
};
pub use drain::{Drain, DrainControl, Patience};
pub use listen::{BindError, ListenerGroup};
pub use quota::{Quota, QuotaPass};
pub use tls::{Passage, TlsChoice, TlsError, TlsHere, TlsSelect, server_config};
pub use workers::{WorkerMain, Workers, raise_descriptor_limit};
