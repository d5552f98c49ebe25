//! Bounds on what a tunnel's driver holds and waits for. Those of the machines are in `doorstep_proto::pagekite::limits`.

use std::time::Duration;

/// Bytes read from a tunnel's connection at a time.
pub const READ: usize = 32 * 1024;
/// From a connection's first byte to its being recognised. Visitors are handed on to the HTTP engine by then, whatever
/// they have said.
pub const FIRST_BYTES: Duration = Duration::from_secs(10);
/// Bytes of a request that is looked at before it is known for whom it is.
pub const MAX_EARLY: usize = doorstep_proto::pagekite::limits::MAX_HEAD + 4096;
/// TLS handshakes take no longer, on either side.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the last words of a tunnel may take to be written.
pub const FAREWELL: Duration = Duration::from_secs(5);
/// A visitor of a raw kite waits no longer for room in its tunnel.
pub const OPEN: Duration = Duration::from_secs(10);
/// How long the streams of a tunnel have to finish, when the relay drains. Stock back-ends have but one connection, and
/// come to the relay's successor only when it ends: the longer it lasts, the longer are their names away.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Names that one tunnel lends, or tried to.
pub const MAX_CLAIMS: usize = 1024;
/// Names of the configuration whose use is counted, those of earlier configurations among them.
pub const MAX_OWNERS: usize = 10_000;

/// Our agent sends something this often, so that a dead path is noticed and routers do not forget the connection.
pub const PING: Duration = Duration::from_secs(10);
/// Our front-end asks its back-ends this often.
pub const PING_BACK_END: Duration = Duration::from_secs(30);
/// How long what was sent may stay unconfirmed by the computer at the other end (TCP_USER_TIMEOUT in tcp(7)): with the pings,
/// that is how a path that is dead is noticed.
pub const SILENCE: Duration = Duration::from_secs(10);
/// A kite that another back-end flies is asked for this often, while others of ours fly.
pub const TAKEN_AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a tunnel that ended; each further one doubles, up to [`BACK_OFF_MOST`].
pub const BACK_OFF: Duration = Duration::from_millis(200);
pub const BACK_OFF_MOST: Duration = Duration::from_secs(30);
/// A tunnel that stood so long was a good one: the next pause is the first again.
pub const GOOD_AFTER: Duration = Duration::from_secs(60);
/// Front-ends of one client.
pub const MAX_FRONT_ENDS: usize = 16;
/// Times in a row that a front-end may ask for the challenges on another connection.
pub const MAX_AGAIN: u32 = 3;
/// Bytes of a `.pagekite.rc`, or of a file with a secret.
pub const MAX_FILE: u64 = 256 * 1024;
