//! Bounds of the guards.

use std::time::Duration;

/// Bytes of a login form. More is answered 413.
pub const MAX_LOGIN_FORM: usize = 16 * 1024;
/// Bytes of the address that a login returns to; a longer one becomes `/`.
pub const MAX_RETURN_TO: usize = 4 * 1024;
/// How long a browser stays logged in. A restart of doorstep ends it too.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Session cookies of one request that are looked at.
pub const MAX_SESSION_COOKIES: usize = 4;

/// Wrong passwords from one address before it has to wait.
pub const FREE_ATTEMPTS: u32 = 5;
/// The first wait; it doubles with each further wrong password.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between two attempts from one address.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// Wrong passwords are forgotten when none came for this long.
pub const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Addresses whose wrong passwords are remembered.
pub const MAX_THROTTLED: usize = 4096;

/// How long a right login is remembered, so that the hash is not computed for each request.
pub const REMEMBER_LOGIN: Duration = Duration::from_secs(5 * 60);
/// Wrong logins that are remembered: a device with an old password that asks again and again costs nothing and does not
/// lock its household out.
pub const MAX_WRONG_LOGINS: usize = 512;
/// Logins whose hash waits to be computed, of all sites together. More are answered 503. Enough for everybody who is
/// logged in to come back at once after a restart.
pub const MAX_WAITING_LOGINS: usize = 1024;
/// The most threads that compute hashes at once; less where there are fewer cores.
pub const MAX_HASHING: usize = 4;

/// Clients whose request rate is kept apart; those beyond share cells.
pub const MAX_RATED_CLIENTS: usize = 64 * 1024;
/// Parts of that table, each with a lock of its own.
pub const RATE_SHARDS: usize = 16;
/// Cells in each part for clients without a place.
pub const SHARED_CELLS: usize = 64;

/// Part of a second whose bytes are sent at once by a rate limit: it sets how smooth the flow is.
pub const SLICE_TIME: Duration = Duration::from_millis(20);
/// The most bytes sent at once under a rate limit, whatever the rate.
pub const MAX_SLICE: usize = 64 * 1024;
/// Unused time that a rate limit lets a client, or all together, catch up on.
pub const RATE_BURST: Duration = Duration::from_millis(50);
/// Least bytes of a file read at once under a rate limit.
pub const MIN_FILE_READ: usize = 16 * 1024;
/// Clients whose pace is kept apart; those beyond share one.
pub const MAX_PACED_CLIENTS: usize = 8192;

/// How long a broken `--once` download stays reserved for whoever began it.
pub const RESUME_GRACE: Duration = Duration::from_secs(60);
/// Parts of one file that are remembered to see whether all of it was downloaded.
pub const MAX_PARTS: usize = 64;
/// Files that are remembered so.
pub const MAX_PARTIAL_FILES: usize = 16;
