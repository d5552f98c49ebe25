//! Bounds on the exchange with an app. Connecting is bounded in `doorstep_net::limits`.

use std::time::Duration;

/// How long the app may think before its response begins, and how long it may refuse to take more of a request.
/// Generous, because a development server may first have to compile the page.
pub const RESPONSE_HEAD: Duration = Duration::from_secs(120);
/// The same on a [`crate::Lane`], whose other end has a bound of its own and knows the app.
pub const LANE_HEAD: Duration = Duration::from_secs(60 * 60);
/// Idle connections of one lane, in each thread.
pub const LANE_IDLE: usize = 64;
/// Further attempts at one request on a lane.
pub const LANE_RETRIES: u32 = 3;
/// Pause before the next one, where a connection broke.
pub const LANE_AGAIN: Duration = Duration::from_millis(100);
/// How long a response may pause. Long, because event streams and long polls pause for as long as nothing happens;
/// a peer that vanished is noticed by TCP keep-alive, and a visitor who leaves ends the response in any case.
pub const BODY_IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a request body waits for `100 Continue` before it is sent anyway (RFC 9110 section 10.1.1).
pub const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// How long an idle connection is kept for the next request: a little less than gunicorn's 2 s, the shortest
/// keep-alive in wide use, so that it is us who closes first.
pub const POOL_IDLE: Duration = Duration::from_millis(1900);
/// How often a thread looks for idle connections that are too old.
pub const POOL_SWEEP: Duration = Duration::from_millis(500);
/// Idle connections to the one upstream of a share, in each thread.
pub const POOL_SIZE: usize = 256;
/// Members of one pool; further ones are left out.
pub const POOL_MEMBERS: usize = 4096;
/// Turns in a weighted round robin before it begins anew.
pub const ROTATION: usize = 4096;
/// The smallest part of its share that a member gets at the beginning of its slow start.
pub const COLDEST: f64 = 0.05;
/// How long a member on which nothing listened is left alone at first, and then twice as long each time …
pub const ABSENT_PAUSE: Duration = Duration::from_millis(25);
/// … up to this.
pub const ABSENT_PAUSE_MOST: Duration = Duration::from_millis(500);
/// What a client whose request found the queue full, or nobody there, is told to wait, in seconds.
pub const RETRY_AFTER: u32 = 5;
/// Health checks of one pool are at least this far apart.
pub const CHECK_EVERY_LEAST: Duration = Duration::from_millis(100);
/// Health checks of one pool under way at once.
pub const CHECKS_AT_ONCE: usize = 32;
/// Interim responses (1xx) before one final response.
pub const MAX_INTERIM: usize = 16;
/// HTTP/2: connections to one member, in each thread. Further requests share them.
pub const H2_LINES: usize = 4;
/// HTTP/2: streams on one connection before another is opened, if the app allows as many.
pub const H2_STREAMS: usize = 100;
/// HTTP/2: how long a connection is kept without a stream.
pub const H2_IDLE: Duration = Duration::from_secs(60);
/// HTTP/2: bytes of a response that the app may send ahead, on one stream.
pub const H2_STREAM_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: the same for all streams of a connection.
pub const H2_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// HTTP/2: bytes of one header list, decoded.
pub const H2_HEADER_LIST: u32 = 64 * 1024;
/// HTTP/2: bytes of a request body that wait for the socket, on one stream.
pub const H2_SEND_BUFFER: usize = 256 * 1024;
/// HTTP/2: fields of a request to the app; more than HTTP/1.1 lets in, for those that are added.
pub const H2_FIELDS: usize = 256;
/// Bytes that are read at first, when the length of what comes is not known.
pub const SMALL_READ: usize = 16 * 1024;
/// Bytes of a long body that are read at once.
pub const LARGE_READ: usize = 256 * 1024;
/// Long bodies on one thread that may each have a buffer of [`LARGE_READ`]; those beyond get [`CROWDED_READ`].
pub const LARGE_READERS: usize = 64;
/// Large buffers that a thread keeps for the next long body: fresh memory of that size costs more than it looks.
pub const SPARE_BUFFERS: usize = 4;
/// Bytes read at once for one of very many long bodies.
pub const CROWDED_READ: usize = 32 * 1024;
/// Bytes of a request body whose length is not known that are gathered, as far as they are there already, to tell
/// the app the length after all: many development servers do not understand chunks.
pub const GATHERED_BODY: usize = 64 * 1024;
/// A whole request body of up to this many bytes is copied behind the head, to go out in one write.
pub const INLINE_BODY: usize = 8 * 1024;
/// A connection's buffer for request heads is given back when it grew beyond this many bytes.
pub const KEPT_WRITE_BUFFER: usize = 16 * 1024;
/// Bytes moved at once on an upgraded connection.
pub const TUNNEL_BUFFER: usize = 64 * 1024;
/// Bytes of an error response that are looked at for a known refusal.
pub const PEEKED_BYTES: usize = 8 * 1024;
/// Responses of an app that are looked at to recognise its server.
pub const RECOGNISED_RESPONSES: u32 = 32;
/// How long a question to the app before sharing may take.
pub const PROBE: Duration = Duration::from_secs(2);
/// Bytes read of the answer to such a question.
pub const PROBE_BYTES: usize = 256 * 1024;
