//! Bounds on requests and connections. [`Limits`] holds those that tests and configuration change.

use std::time::Duration;

/// Time bounds of one connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the connection's start to the first byte of a request.
    pub first_byte: Duration,
    /// From a request's first byte to the end of its head.
    pub head: Duration,
    /// How long a connection that has served a request may idle.
    pub keep_alive: Duration,
    /// The time over which a request body's rate is measured. Only time spent waiting for the client counts.
    pub body_window: Duration,
    /// Bytes per second that a request body must reach over that time.
    pub body_min_rate: u64,
    /// How long a client may take no byte of a response that waits for it.
    pub write_stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_window: Duration::from_secs(20),
            body_min_rate: 256,
            write_stall: Duration::from_secs(60),
        }
    }
}

/// Characters of a request's name that a trusted proxy gave it; a longer one is replaced.
pub const MAX_REQUEST_ID: usize = 128;
/// How much sooner than we close an idle connection its client is told to give it up.
pub const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(5);
/// Bytes a client may send ahead of the answer to its current request (pipelining).
pub const MAX_PIPELINED: usize = 64 * 1024;
/// Bytes of an unread request body that are read and forgotten to keep a connection; with more left it is closed.
pub const MAX_DISCARDED: u64 = 256 * 1024;
/// How long a closing connection waits for the client to have read the last response.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and forgotten meanwhile: many clients look for an answer only after they have sent everything.
pub const MAX_LINGERED: u64 = 64 * 1024 * 1024;
/// Bytes read at once: a body in the making, and the first bytes of a connection.
pub const BODY_BUFFER: usize = 256 * 1024;
/// Bodies up to this size leave in the same write as their head.
pub const COALESCE: usize = 16 * 1024;
/// Bodies up to this size are copied behind their head for that; the kernel gathers larger ones for less.
pub const COPIED: usize = 2 * 1024;
/// Bytes given to one `sendfile` call.
pub const SENDFILE_CHUNK: u64 = 1024 * 1024;

/// HTTP/2: streams open at once on one connection.
pub const H2_STREAMS: u32 = 128;
/// HTTP/2: bytes of one header list, decoded (RFC 9113 section 10.5.1).
pub const H2_HEADER_LIST: u32 = 64 * 1024;
/// HTTP/2: receive window of one stream, in bytes.
pub const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// HTTP/2: receive window of one connection, in bytes.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: bytes of response that one stream buffers for the socket.
pub const H2_SEND_BUFFER: usize = 128 * 1024;
/// HTTP/2: streams that the client may cancel before their answer, within [`H2_RESET_WINDOW`] (CVE-2023-44487).
pub const H2_RESETS: u32 = 100;
pub const H2_RESET_WINDOW: Duration = Duration::from_secs(30);
/// HTTP/2: how long the answer waits for the rest of a request body that nobody reads.
pub const H2_BODY_WAIT: Duration = Duration::from_secs(1);
