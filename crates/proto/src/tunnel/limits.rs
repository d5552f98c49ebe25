//! Bounds of the tunnel protocol. Those that both sides must agree on are part of `docs/protocol/tunnel.md`.

use std::time::Duration;

/// Bytes of a frame's header.
pub const HEADER: usize = 8;
/// Payload bytes of one DATA or DATAGRAM frame.
pub const MAX_DATA: usize = 64 * 1024;
/// Payload bytes of every other frame.
pub const MAX_MESSAGE: usize = 8 * 1024;
/// Bytes of one text field: names, messages.
pub const MAX_TEXT: usize = 1024;
/// Bytes of an invitation as it is sent.
pub const MAX_INVITATION: usize = 512;
/// Ports that one probe may ask for.
pub const MAX_PROBES: usize = 4;
/// A greeting that takes longer is given up, on both sides.
pub const GREETING: Duration = Duration::from_secs(10);
/// A side that has sent nothing for so long, and is watched, sends a sign of life.
pub const BEAT: Duration = Duration::from_secs(3);
/// A watched connection on which nothing came for so long is dead.
pub const SILENCE: Duration = Duration::from_secs(9);
/// Sign of life on a data connection without streams, for the router's NAT table. Nobody is declared dead by it.
pub const IDLE_BEAT: Duration = Duration::from_secs(25);
/// A reset that the peer does not take for so long, because it reads nothing, ends an exclusive connection.
pub const RESET_LINGER: Duration = Duration::from_secs(5);
/// Claims of one session.
pub const MAX_CLAIMS: usize = 256;
/// Leases that a relay grants are within these.
pub const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
/// Streams at once on one shared connection.
pub const MAX_STREAMS: usize = 256;
/// Bytes that a stream of a shared connection may have under way before its receiver grants more.
pub const WINDOW: u32 = 64 * 1024;
/// To what a receiver lets the window of a stream grow whose reader keeps up.
pub const MAX_WINDOW: u32 = 1024 * 1024;
/// Sum of the windows on one shared connection up to which windows grow; new streams get their first window above it too.
/// With [`MAX_STREAMS`] it bounds what slow readers can make a receiver hold.
pub const MAX_GROWN: u32 = 8 * 1024 * 1024;
/// Bytes that wait in the machine for one stream's turn to be sent.
pub const SEND_QUEUE: usize = 256 * 1024;
/// Bytes that one stream sends before it is another one's turn.
pub const TURN: usize = 16 * 1024;
/// Datagrams that wait in one flow; the oldest are dropped.
pub const DATAGRAM_QUEUE: usize = 64;
/// Bytes of datagrams that wait in one flow; the oldest are dropped.
pub const DATAGRAM_QUEUE_BYTES: usize = 256 * 1024;
/// Frames without payload that wait to be sent on one connection. A peer that makes us answer more than it reads is cut off.
pub const MAX_PENDING: usize = 4 * MAX_STREAMS;
/// Data connections of one session, exclusive and shared together.
pub const MAX_DATA_CONNS: u16 = 32;
/// Of these, shared ones when all exclusive ones are wanted; one otherwise.
pub const SHARED_CONNS: u16 = 4;
/// Exclusive connections that are kept open without work, at least, while there is any; one at first, none for who rests.
pub const SPARE_CONNS: u16 = 2;
/// How long a peak of demand keeps its connections open.
pub const DEMAND_MEMORY: Duration = Duration::from_secs(60);
/// First and longest wait before a data connection that could not be opened is tried again.
pub const DIAL_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
