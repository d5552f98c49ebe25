//! What the fuzz targets check: each takes any bytes and panics where something is wrong.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

pub mod chunked;
pub mod config;
pub mod connection;
pub mod files;
pub mod gateway;
pub mod guard;
pub mod pagekite;
pub mod path;
pub mod proxy_header;
pub mod request_head;
pub mod response_head;
pub mod tunnel;

/// Takes the first byte off as a number that steers the check; the rest is its input.
fn split_off_byte(data: &[u8]) -> Option<(usize, &[u8])> {
    data.split_first().map(|(first, rest)| (usize::from(*first), rest))
}
