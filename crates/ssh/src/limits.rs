//! Bounds of tunnels over ssh.

use std::time::Duration;

/// A session that is silent for so long is asked whether it is there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// So many questions may be without an answer when the next is due; then the session is over: 9 seconds.
pub const KEEP_ALIVES_LOST: usize = 2;
/// How long bytes that we sent may stay without an acknowledgement (TCP_USER_TIMEOUT in tcp(7)).
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(9);

/// Bytes of a session that the kernel takes in before we read them (TCP_WINDOW_CLAMP in tcp(7)).
pub const UNREAD: i32 = 512 * 1024;

/// Bytes of one channel that the other side may send before they are acknowledged.
pub const WINDOW: u32 = 1024 * 1024;
/// Bytes of one packet's payload.
pub const PACKET: u32 = 32 * 1024;
/// Messages of a channel that wait for whoever opened it.
pub const CHANNEL_MESSAGES: usize = 64;
/// Messages of all channels of a session that wait to be sent.
pub const SESSION_MESSAGES: usize = 32;
/// Bytes of one channel that wait for their reader before the session as a whole is read less eagerly.
pub const BACKLOG_PAUSE: usize = 256 * 1024;
/// That is over when so many are left.
pub const BACKLOG_CALM: usize = 128 * 1024;
/// Bytes of one channel that wait for their reader. A channel with more is closed.
pub const BACKLOG: usize = 32 * 1024 * 1024;
/// Bytes of all channels of a session that wait so. Then those are closed that have more than [`BACKLOG_SHARE`] and get more.
pub const SESSION_BACKLOG: usize = 96 * 1024 * 1024;
/// Bytes that each channel may have at any time.
pub const BACKLOG_SHARE: usize = 64 * 1024;
/// Pieces that wait so: small ones cost more memory than they carry.
pub const BACKLOG_PIECES: usize = 64 * 1024;
/// How long nothing is read for the sake of a backlog while no other channel is in use. Then comes a slice, so that what is
/// behind it comes through. Longer than [`KEEP_ALIVE`], so that the other side hears from us meanwhile.
pub const PAUSE: Duration = Duration::from_secs(4);
/// Bytes of that slice.
pub const PAUSE_SLICE: usize = 128 * 1024;
/// So long after its last bytes, a channel without a backlog counts as in use: pauses are short then, or there are none.
pub const IN_USE: Duration = Duration::from_millis(100);
/// The pauses then, by how many quarters of [`BACKLOG`] the largest backlog has, or all together of [`SESSION_BACKLOG`]:
/// rather than that a visitor who reads slowly loses the connection, others wait a little.
pub const PAUSES_IN_USE: [Option<Duration>; 5] =
    [None, None, Some(Duration::from_millis(5)), Some(Duration::from_millis(20)), Some(Duration::from_millis(80))];
/// So long it counts as in use while it waits for an answer.
pub const AWAITING: Duration = Duration::from_secs(10);
/// How long the other side has to finish a channel whose visitor is gone before it is closed.
pub const LINGER: Duration = Duration::from_secs(2);
/// Channels of a session that this side may close: russh keeps some 3 KiB of each. Then the session ends, and has to be
/// begun anew.
pub const RESETS: usize = 16 * 1024;
/// Bytes of a session that are read at once.
pub const READ_BUFFER: usize = 16 * 1024;

/// Sessions of the gateway at once.
pub const SESSIONS: usize = 4096;
/// Connections at once from one address (IPv6: one /64).
pub const SESSIONS_PER_ADDRESS: usize = 64;
/// Connections at once that have not proven a key yet.
pub const STRANGERS: usize = 256;
/// The same from one address (IPv6: one /64).
pub const STRANGERS_PER_ADDRESS: usize = 8;
/// From the connection to the proof of a key.
pub const LOGIN: Duration = Duration::from_secs(20);
/// Keys that a client may try.
pub const LOGIN_ATTEMPTS: usize = 20;
/// Forwardings (`-R`) of one session.
pub const FORWARDS: usize = 32;
/// Open channels of one session, and those about to be opened.
pub const CHANNELS: usize = 1024;
/// Terminals of one session.
pub const TERMINALS: usize = 4;
/// How long a client has to open a channel to its app.
pub const OPEN: Duration = Duration::from_secs(10);
/// Lines that wait for a slow terminal. Further ones are dropped, and counted.
pub const TERMINAL_LINES: usize = 256;
/// Bytes of a line on a terminal.
pub const TERMINAL_LINE: usize = 512;
/// Pause after a connection that could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client has to read why its session ends.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// From the start of a connection to a server to its taking our key.
pub const CONNECT: Duration = Duration::from_secs(30);
/// How long the server has to answer our requests for ports.
pub const FORWARDED: Duration = Duration::from_secs(20);
/// The first pause before the next attempt; twice as long after each further failure.
pub const AGAIN_FIRST: Duration = Duration::from_millis(200);
/// The longest pause before the next attempt.
pub const AGAIN_LAST: Duration = Duration::from_secs(30);
/// A session that stood for so long begins the pauses anew.
pub const STOOD: Duration = Duration::from_secs(20);
/// How often a port that was ours before is asked for again while somebody has it: mostly our own lost session. With the
/// pauses between, some five minutes.
pub const PORT_ATTEMPTS: u32 = 15;
/// Bytes of one line that a program says.
pub const LINE: usize = 4096;
/// Last lines of a program that are kept for the message why it ended.
pub const LINES_KEPT: usize = 20;
/// Words from the server that are passed on, for each session.
pub const NOTICES: usize = 20;
/// Addresses that a server names, for each session.
pub const URLS: usize = 32;
/// Visitors that the program announced and whose connection has not come yet.
pub const ANNOUNCED: usize = 64;
/// How long a visitor's address waits for the connection.
pub const ANNOUNCED_FOR: Duration = Duration::from_secs(2);
/// Visitors at once, for each target.
pub const VISITORS: usize = 1024;
/// How long our own request to the public address has to come through.
pub const PROBE: Duration = Duration::from_secs(4);
/// When it is asked again, where it did not: a firewall may have been opened.
pub const PROBE_AGAIN: Duration = Duration::from_secs(60);
/// How long the program has to end after it was asked to.
pub const END: Duration = Duration::from_secs(2);
/// How long visitors under way have to finish when the agent leaves.
pub const LEAVE: Duration = Duration::from_secs(10);
/// Bytes of known_hosts that are read.
pub const KNOWN_HOSTS: u64 = 4 * 1024 * 1024;
