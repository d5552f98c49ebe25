//! Bounds on connections.

use std::time::Duration;

/// From the TCP connection to the end of the TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of a client's first TLS message, and of what it sends with it.
pub const MAX_HELLO: usize = 64 * 1024;
/// From the TCP connection of a trusted proxy to the end of its PROXY protocol header.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);
/// How long accepting pauses when the process is out of descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel queues before we accept them.
pub const BACKLOG: i32 = 4096;
/// Bytes of a connection that the kernel holds and has not sent yet (TCP_NOTSENT_LOWAT in tcp(7)).
pub const UNSENT: u32 = 256 * 1024;
/// Connections open at once, where the descriptor limit allows as many.
pub const MAX_CONNECTIONS: usize = 16 * 1024;
/// Descriptors kept free for files, upstreams of other connections, and the rest of the program.
pub const RESERVED_DESCRIPTORS: usize = 128;
/// One client address (IPv6: one /64) holds at most this part of all connections.
pub const CLIENT_SHARE: usize = 4;
/// From the wish for an outbound connection to its being ready: resolving the name, TCP, and TLS.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long one outbound attempt has before the next address is tried beside it (RFC 8305 section 5).
pub const CONNECT_ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long a connection waits to be tried again while the queue of a unix socket is full.
pub const UNIX_BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Ways to speak TLS with upstreams (roots, protocols) that are kept set up.
pub const TLS_CLIENTS: usize = 64;
/// Addresses of one name that are tried.
pub const MAX_ADDRESSES: usize = 16;
/// Threads per worker for work that waits for a disk or takes long.
pub const MAX_BLOCKING_THREADS: usize = 64;
/// A change of the network comes as many messages; what is told of it waits for the last ones.
pub const CHANGES_SETTLE: Duration = Duration::from_millis(200);
/// Between two changes that are told.
pub const CHANGES_PAUSE: Duration = Duration::from_secs(1);
/// A computer that stood still for less did not sleep.
pub const SLEPT: Duration = Duration::from_secs(2);
/// Interfaces whose state is remembered. Machines with containers have many, and they come and go.
pub const KNOWN_LINKS: usize = 1024;
