//! Bounds of the notes that are taken of requests.

use std::time::Duration;

/// Requests that wait to be written to the access logs, in each of [`STRIPES`] queues; those beyond are counted as lost.
pub const MAX_WAITING: usize = 8 * 1024;
/// How long requests are gathered before they are written.
pub const WRITE_TICK: Duration = Duration::from_millis(100);
/// How long [`crate::Telemetry::flush`] waits for the disk.
pub const MAX_FLUSH: Duration = Duration::from_secs(5);
/// While an access log is in trouble, it is told again after this.
pub const TELL_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Cells that threads share the counting between, so that they do not take a cache line from each other.
pub const STRIPES: usize = 8;
/// Sites that are counted apart.
pub const MAX_SITES: usize = 10_000;
