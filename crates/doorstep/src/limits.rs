//! Every bound of the command line program.

use std::time::Duration;

/// Requests waiting to be shown, per worker. Beyond it they are counted and not shown.
pub const WAITING_REQUESTS: usize = 4096;

/// How often the screen takes new events: 20 times a second.
pub const SCREEN_TICK: Duration = Duration::from_millis(50);

/// Request lines that a terminal is given per tick: of a flood, 2,000 a second, which is more than anybody reads. The
/// others are counted.
pub const SHOWN_PER_TICK: usize = 100;

/// How often progress lines move while something is being transferred.
pub const PROGRESS_TICK: Duration = Duration::from_millis(250);

/// How often a program reading `--json` hears of each transfer.
pub const PROGRESS_EVENT: Duration = Duration::from_secs(1);

/// Log entries kept in memory to draw the screen again after a resize.
pub const KEPT_ENTRIES: usize = 1000;

/// Transfers followed at once; further ones appear when they end, as requests do.
pub const FOLLOWED_TRANSFERS: usize = 512;

/// Transfers drawn at once.
pub const SHOWN_TRANSFERS: usize = 4;

/// Distinct visitors counted in the summary; beyond it, it says "more than".
pub const COUNTED_VISITORS: usize = 65_536;

/// Different findings remembered so that each is told once.
pub const KNOWN_FINDINGS: usize = 256;

/// Messages waiting for the screen.
pub const WAITING_MESSAGES: usize = 1024;

/// How long transfers under way may go on after Ctrl-C.
pub const DRAIN: Duration = Duration::from_secs(2);

/// How long the screen may take to say goodbye, to a slow reader of a pipe for instance, before the program ends
/// without it. Ctrl-C does not wait so long.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// The longest look at a folder before it is shared.
pub const LOOK_TIME: Duration = Duration::from_millis(400);

/// The most entries looked at in it.
pub const LOOK_ENTRIES: usize = 50_000;

/// How deep it is looked at.
pub const LOOK_DEPTH: usize = 6;

/// How long an address may take to answer our own request, each time.
pub const PROOF_TIME: Duration = Duration::from_secs(2);

/// Running apps that are named when the one that was asked for is down.
pub const APPS_NAMED: usize = 5;

/// How often an address is tried before it is given up.
pub const PROOF_TRIES: u32 = 4;

/// Ports tried above the default one.
pub const PORTS_TRIED: u16 = 100;

/// Space left free on the disk that standard input is stored on.
pub const SPOOL_RESERVE: u64 = 256 * 1024 * 1024;

/// Longest wait for a local app to accept a connection, to say whether it runs.
pub const APP_LOOK: Duration = Duration::from_millis(500);
