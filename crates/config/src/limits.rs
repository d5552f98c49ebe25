//! Bounds of what a configuration may make doorstep read and say.

/// The largest file that is read, in bytes: configuration, certificates, password files, error pages.
pub const FILE_BYTES: u64 = 4 << 20;

/// The most files read for one configuration, included ones and those they name.
pub const FILES: usize = 20_000;

/// Rounds of reading what parsing asks for: the file, what it includes, what these name, and what that names.
pub const ROUNDS: usize = 8;

/// The most errors and warnings that are reported; what is beyond is counted.
pub const DIAGNOSTICS: usize = 200;

/// The most instances of one app.
pub const INSTANCES: i64 = 1024;

/// The most threads of one thing.
pub const THREADS: i64 = 1024;

/// Links that are followed on the way to one file, as many as the kernel follows (path_resolution(7)).
pub const LINKS: usize = 40;
