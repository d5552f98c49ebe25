//! Every bound of the file service. Sizes in bytes.

use std::time::Duration;

/// Entries of one folder that are read for a listing; of further ones the page says that they are left out.
pub const MAX_LISTED: usize = 500_000;

/// Folders read for listings at once; further requests wait.
pub const MAX_SCANS: usize = 4;

/// Entries held by all listings on their way at once. Each takes about 100 bytes. Further requests are told to come back.
pub const MAX_LISTED_IN_FLIGHT: usize = 4_000_000;

/// HTML or JSON of a listing made at a time.
pub const LISTING_CHUNK: usize = 64 * 1024;

/// Entries from which a listing is compressed.
pub const LISTING_COMPRESSED_FROM: usize = 100;

/// The largest README that is shown below a listing.
pub const MAX_README: u64 = 512 * 1024;

/// Longest filter text that a listing takes.
pub const MAX_FILTER: usize = 200;

/// Bytes of an archive made at a time, and of a file read at a time.
pub const ZIP_CHUNK: usize = 256 * 1024;

/// Bytes of an archive's directory kept in memory; what is beyond goes to an unnamed temporary file.
pub const ZIP_DIRECTORY_IN_MEMORY: usize = 1024 * 1024;

/// Bytes of names of folders still to be walked for an archive; folders beyond are reported as left out.
pub const ZIP_MAX_PENDING: usize = 16 * 1024 * 1024;

/// Bytes of the list of what an archive leaves out.
pub const ZIP_MAX_SKIPPED: usize = 256 * 1024;

/// Archives made at once; further requests are told to come back.
pub const MAX_ZIPS: usize = 32;

/// Uploads writing to the disk at once; further ones are told to come back.
pub const MAX_UPLOADS: usize = 64;

/// Unfinished uploads kept in a share; further ones are refused until some finish or expire.
pub const MAX_PARTIALS: usize = 1000;

/// How long an unfinished upload is kept after its last byte.
pub const PARTIAL_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a share is searched for unfinished uploads that nobody went on with.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Folders that such a search enters, and how deep.
pub const SWEEP_MAX_FOLDERS: usize = 50_000;

/// Bytes of an upload gathered before they are written.
pub const UPLOAD_BUFFER: usize = 512 * 1024;

/// Free space that uploads leave on a disk: this, or a hundredth of the disk where that is less.
pub const UPLOAD_RESERVE: u64 = 256 * 1024 * 1024;

/// Names tried for an uploaded file whose own is taken: `name (1).txt`, `name (2).txt` …
pub const MAX_NAME_TRIES: u32 = 2000;

/// Folders within folders that one uploaded file may come in.
pub const MAX_UPLOAD_DEPTH: usize = 32;

/// The longest name that an uploaded file or folder gets; longer ones are cut before their extension.
pub const MAX_NAME: usize = 240;

/// Finished uploads remembered, for a client that never saw the answer.
pub const MAX_FINISHED: usize = 1024;

/// How long a client that comes back waits for its own old connection to let go of an upload.
pub const TAKE_OVER: Duration = Duration::from_secs(10);

/// Header lines of one part of a multipart form.
pub const MAX_PART_HEADERS: usize = 16 * 1024;

/// Parts of one multipart form.
pub const MAX_PARTS: usize = 10_000;

/// Symbolic links followed on the way to one file, as the kernel's own bound.
pub const MAX_LINKS: usize = 40;

/// The longest path beneath the root, as the kernel's own bound (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;

/// How often a path is resolved again when a rename on the way made the kernel unsure.
pub const MAX_RESOLVE_TRIES: usize = 16;

/// Files up to this size are kept in memory once they were asked for.
pub const MAX_SMALL_FILE: u64 = 64 * 1024;

/// Bytes of small files in memory, of one share.
pub const MAX_CACHED: usize = 64 * 1024 * 1024;

/// Bytes of small files in memory, of all folders together: beyond, a folder keeps a file only in the place of others
/// of its own.
pub const MAX_CACHED_OF_ALL: usize = 256 * 1024 * 1024;

/// Bytes that a cached file counts beside its contents.
pub const CACHED_OVERHEAD: usize = 1024;

/// How long a cached file is served before the disk is asked again whether it changed: how stale an answer can be.
pub const CACHE_TRUST: Duration = Duration::from_millis(50);

/// How long a folder is served before its path is asked again whether another folder stands there.
pub const ROOT_TRUST: Duration = Duration::from_millis(50);

/// A file that was changed this short a time ago may change again without a new time stamp, so it is not cached yet.
pub const CACHE_SETTLED: Duration = Duration::from_millis(20);

/// Readings of a small file that changes while it is read, before it is given up.
pub const MAX_READ_TRIES: usize = 4;

/// Ranges in one request; with more the whole file is sent.
pub const MAX_RANGES: usize = 64;

/// Smaller files are not compressed: nothing is gained.
pub const MIN_COMPRESSED: u64 = 1024;

/// Larger files are not compressed on the way: a known length, progress and resuming are worth more.
pub const MAX_COMPRESSED: u64 = 16 * 1024 * 1024;

/// Files being compressed at once. Each takes up to about 4 MB. Further ones are sent as they are.
pub const MAX_COMPRESSORS: usize = 32;

/// Bytes of a file compressed, or read off the data plane, at a time.
pub const FILE_CHUNK: usize = 128 * 1024;

/// Bytes of a text shown on the page that offers it.
pub const MAX_PREVIEW: u64 = 64 * 1024;
