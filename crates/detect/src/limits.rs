//! How much of a folder is looked at. A folder can be a home, or a disk.

/// Folders and files whose names are read; what comes after is not looked at, and [`crate::Found::remarks`] says so.
pub const MAX_ENTRIES: usize = 20_000;

/// Levels beneath the folder itself.
pub const MAX_DEPTH: usize = 4;

/// Bytes read of one file; the rest is not looked at.
pub const MAX_FILE_BYTES: u64 = 128 << 10;

/// Bytes read of all files together.
pub const MAX_BYTES: u64 = 16 << 20;

/// Source files of one app that are read.
pub const MAX_SOURCES: usize = 300;

/// Apps and sites in one file; more is no longer something a person wants to have written for them.
pub const MAX_PARTS: usize = 12;
