//! Bounds of data connections, besides those of the protocol.

use std::time::Duration;

/// Bytes that one read of a socket takes at most. A buffer of this size belongs to each thread.
pub const READ: usize = 128 * 1024;
/// Bytes in one TLS record at most (RFC 8446 section 5.1), and what encryption adds to them.
pub const RECORD: usize = 16 * 1024;
pub const RECORD_OVERHEAD: usize = 22;
/// Bytes that one write gives to TLS at most: a whole DATA frame, and some messages before it.
pub const WRITE: usize = doorstep_proto::tunnel::limits::MAX_DATA + 1024;
/// Bytes that are read at once where no stream reads for itself.
pub const PIECE: usize = RECORD;
/// Pieces of one write.
pub const PIECES: usize = 32;
/// Pieces of a stream's user that one frame takes.
pub const VECTORED: usize = 8;
/// Bytes of a shared connection that the kernel holds and has not sent yet (TCP_NOTSENT_LOWAT in tcp(7)): what is there is
/// in front of every other stream's bytes.
pub const UNSENT: u32 = 128 * 1024;
/// Pieces below this size are copied into one before they wait for their reader, so that they keep no large buffer alive.
pub const COPIED: usize = PIECE / 4;
/// Reads of one connection before other tasks of its thread have their turn.
pub const READS: usize = 16;
/// How long a connection that is over waits for its last words to be taken.
pub const LAST_WORDS: Duration = Duration::from_secs(5);
/// Bytes sent to an agent that answered nothing since, beyond which the connection of a stream that was reset is not used
/// again: its agent may still be stuck in them.
pub const UNHEARD: u64 = 64 * 1024;
