//! Bounds on what may come before a connection's first byte.

/// Bytes of a version 1 header, CRLF included: the longest that there can be.
pub const MAX_V1: usize = 107;
/// Bytes of a version 2 header with what proxies add to it (TLVs: certificates, cloud identifiers), which is skipped.
pub const MAX_V2: usize = 4096;
