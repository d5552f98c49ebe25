//! Bounds.

/// Bodies being compressed at once, in the whole process. Each takes up to about 4 MB. Further ones are sent as they are.
pub const MAX_COMPRESSORS: usize = 64;
/// Bytes compressed at once: what one body may keep a worker thread busy with before others get their turn.
pub const COMPRESS_STEP: usize = 32 * 1024;
