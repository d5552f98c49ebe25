//! Every bound of starting and confining processes.

use std::time::Duration;

/// How long a start may take until the program itself runs. Looking a user up may ask a server of the network.
pub const LAUNCH_TIME: Duration = Duration::from_secs(30);

/// Bytes that a process that is being started may report.
pub const REPORT_BYTES: usize = 64 * 1024;

/// Bytes of the description of one start; its environment is most of it.
pub const DESCRIPTION_BYTES: u64 = 4 * 1024 * 1024;

/// The largest entry of the user database, in bytes. Groups with thousands of members are large.
pub const USER_ENTRY_BYTES: usize = 1024 * 1024;

/// How long the last process of a cgroup may take to be gone after it was killed.
pub const CGROUP_EMPTY_TIME: Duration = Duration::from_secs(2);
