//! The bounds of this crate.

use std::time::Duration;

/// The wait before the second restart in a row; it doubles from here.
pub const RESTART_FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two restarts.
pub const RESTART_MOST: Duration = Duration::from_secs(60);
/// An instance that was ready for this long makes the failures before it forgotten.
pub const GOOD_RUN: Duration = Duration::from_secs(60);
/// As many exits in a row, each sooner than [`GOOD_RUN`], are a crash loop.
pub const CRASH_LOOP: u32 = 5;
/// The first wait before a failed preparation (installing, a pre-start command) is tried again; it doubles.
pub const PREPARE_FIRST: Duration = Duration::from_secs(10);
/// The longest wait between two preparations.
pub const PREPARE_MOST: Duration = Duration::from_secs(15 * 60);
/// One installation of packages, or one pre-start command, may take this long.
pub const PREPARE_STEP: Duration = Duration::from_secs(30 * 60);
/// The look at a Python object that tells WSGI from ASGI may take this long.
pub const PROBE_STEP: Duration = Duration::from_secs(60);

/// Between two looks whether an instance is ready: the first, doubling up to the second.
pub const READY_FIRST: Duration = Duration::from_millis(20);
pub const READY_MOST: Duration = Duration::from_millis(500);
/// One answer to a readiness request must come within this.
pub const READY_ANSWER: Duration = Duration::from_secs(5);
/// As much of such an answer is read.
pub const READY_HEAD: usize = 4096;

/// An instance that listens to nothing counts as ready after this: it did not fail at once.
pub const READY_ALONE: Duration = Duration::from_secs(1);

/// What an instance left running (children of its own) may take to end, after SIGTERM, before SIGKILL.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(5);
/// Between two looks at such processes.
pub const LEFTOVER_LOOK: Duration = Duration::from_millis(50);
/// What a supervisor that was killed left behind has this long between SIGTERM and SIGKILL.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(10);
/// What is still there this long after SIGKILL hangs in the kernel; nobody waits for it any longer.
pub const KILL_GIVE_UP: Duration = Duration::from_secs(10);
/// A dead child that nobody has waited for within this belongs to nobody, and is reaped. Longer than [`LEFTOVER_GRACE`].
pub const STRAY_ZOMBIE: Duration = Duration::from_secs(8);
/// An environment longer than this is not read to find our mark in it.
pub const ENVIRON: usize = 2 << 20;

/// A line of output is cut into pieces of this many bytes.
pub const LINE: usize = 16 << 10;
/// Lines of output kept in memory per app, for reports and `doorstep logs`.
pub const LAST_LINES: usize = 200;
/// Lines shown in a report of a crash.
pub const REPORT_LINES: usize = 10;
/// Lines waiting for the disk; more are lost, and counted.
pub const LOG_QUEUE: usize = 8192;
/// Lines waiting for one `doorstep logs -f`; a slower reader misses some.
pub const FOLLOW_QUEUE: usize = 1024;
/// `doorstep logs` looks this far back in a file, in bytes.
pub const LOG_TAIL: u64 = 4 << 20;
/// The pipe of an instance's output, in bytes: what it may say while no supervisor reads.
pub const PIPE: usize = 1 << 20;

/// Changes of files within this belong together.
pub const WATCH_SETTLE: Duration = Duration::from_millis(300);
/// Folders watched per app.
pub const WATCHED_FOLDERS: usize = 8192;
/// Changes noticed and not yet looked at; more are merged.
pub const WATCH_QUEUE: usize = 64;

/// The clock is looked at this often for jobs, so that a changed clock or a suspended computer is noticed.
pub const CLOCK_LOOK: Duration = Duration::from_secs(30);
/// A clock that was put back by more than this starts a schedule anew.
pub const CLOCK_STEP_BACK: Duration = Duration::from_secs(2 * 60 * 60);
/// How long a job that is over time has between SIGTERM and SIGKILL.
pub const JOB_GRACE: Duration = Duration::from_secs(10);

/// The longest path that a unix socket can have (`sun_path`, without its final zero).
pub const SOCKET_PATH: usize = 107;
/// Requirement files larger than this are not read.
pub const REQUIREMENTS: u64 = 4 << 20;
