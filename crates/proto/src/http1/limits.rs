//! Bounds on HTTP/1 messages.

/// Bytes of one message head, request line or status line included. More is answered 431.
pub const MAX_HEAD: usize = 64 * 1024;
/// Bytes of a request line. More is answered 414.
pub const MAX_REQUEST_LINE: usize = 16 * 1024;
/// Header fields in one head. More is answered 431.
pub const MAX_FIELDS: usize = 128;
/// Empty lines tolerated before a request line (RFC 9112 section 2.2).
pub const MAX_LEADING_EMPTY_LINES: usize = 4;
/// Bytes of one chunk-size line, extensions included.
pub const MAX_CHUNK_LINE: usize = 512;
/// Digits of a chunk size; 16 hexadecimal digits are 64 bits.
pub const MAX_CHUNK_DIGITS: usize = 16;
/// Bytes of one chunk. More than a disk holds is no chunk but an attempt at an overflow.
pub const MAX_CHUNK: u64 = 1 << 60;
/// Bytes of chunk extensions in one body, all chunks together.
pub const MAX_CHUNK_EXTENSIONS: usize = 4 * 1024;
/// Bytes of one trailer section.
pub const MAX_TRAILERS: usize = 8 * 1024;
