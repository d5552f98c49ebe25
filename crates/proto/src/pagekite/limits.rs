//! Bounds on PageKite connections, in both directions.

use std::time::Duration;

/// Bytes of a handshake's head, request or answer.
pub const MAX_HEAD: usize = 64 * 1024;
/// Fields of a handshake's head, or of a frame with kites in it.
pub const MAX_FIELDS: usize = 512;
/// Kites of one back-end.
pub const MAX_KITES: usize = 128;
/// Bytes of a domain name.
pub const MAX_DOMAIN: usize = 253;
/// Bytes of a salt or session name that the other side chose.
pub const MAX_TOKEN: usize = 128;
/// Bytes of one text that a peer wants shown (quota, reasons, its version).
pub const MAX_TEXT: usize = 256;
/// How often a back-end may answer challenges that are not ours, or are too old.
pub const MAX_CHALLENGES: usize = 3;
/// Bytes of a frame's length line, its line end included.
pub const MAX_FRAME_LINE: usize = 24;
/// Bytes of one frame, on the wire as well as unpacked.
pub const MAX_FRAME: usize = 1 << 20;
/// Bytes of the fields at the beginning of a frame.
pub const MAX_FRAME_FIELDS: usize = 64 * 1024;
/// Bytes of a stream's name.
pub const MAX_SID: usize = 32;
/// Streams in one tunnel at a time.
pub const MAX_STREAMS: usize = 4096;
/// Bytes of data in one frame that we send: what stock sends itself. Large frames would make the other streams wait, and a
/// stock front-end that cannot write a frame to its visitor at once (it writes up to 16,320 bytes) hangs up on one who sends
/// no more, once it has written the rest of that frame.
pub const SEND_CHUNK: usize = 16_256;
/// Bytes of one stream on their way: sent and not acknowledged by a peer that acknowledges.
pub const SEND_WINDOW: u64 = 512 * 1024;
/// Bytes of one stream that came and were not read. At this many the tunnel is not read from any more. A peer that heeds our
/// acknowledgements stays far below.
pub const MAX_STREAM_UNREAD: usize = 1 << 20;
/// Bytes of all streams of a tunnel that came and were not read.
pub const MAX_TUNNEL_UNREAD: usize = 16 << 20;
/// Bytes that came and are not looked at, since reading pauses; the driver may bring one read more than it should.
pub const MAX_HELD_BACK: usize = 2 * MAX_FRAME;
/// Bytes of output that wait to be written, before no stream may add to them.
pub const MAX_OUTPUT: usize = 256 * 1024;
/// Bytes of answers (pongs, ends, acknowledgements) on top of [`MAX_OUTPUT`], before reading pauses.
pub const MAX_ANSWERS: usize = 256 * 1024;
/// Events that nobody took, before reading pauses.
pub const MAX_EVENTS: usize = 1024;
/// Bytes that become good to acknowledge, before they are acknowledged.
pub const ACK_EVERY: u64 = 16 * 1024;
/// Bytes of a stream that are acknowledged before they are read. A stock front-end stops reading from its visitor with 48 kB not
/// acknowledged, and hangs up on one who has half-closed by then: it must not come to that because the app needs a moment.
pub const ACK_AHEAD: u64 = 64 * 1024;
/// A ping is sent this often.
pub const PING_EVERY: Duration = Duration::from_secs(116);
/// Silence after a ping that ends a tunnel.
pub const PING_PATIENCE: Duration = Duration::from_secs(45);
/// A handshake takes no longer.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(30);
/// Seconds of one window of challenges; the one before it counts as well.
pub const CHALLENGE_WINDOW: u64 = 600;
/// Answers to challenges that a front-end remembers, so that none is accepted twice. At more, new ones are refused until old
/// ones expire.
pub const MAX_REMEMBERED: usize = 65_536;
/// Characters of a ping that are sent back.
pub const MAX_PING: usize = 64;
