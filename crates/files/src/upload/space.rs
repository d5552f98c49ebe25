//! How much room there is, and how much of it uploads leave alone.

use std::io;
use std::os::fd::AsFd;

use crate::limits::UPLOAD_RESERVE;

/// Bytes that uploads may still write to the file system of `file`.
///
/// # Errors
/// As `fstatvfs(3)`.
pub fn left(file: impl AsFd) -> io::Result<u64> {
    let space = rustix::fs::fstatvfs(file)?;
    Ok(left_of(space.f_blocks.saturating_mul(space.f_frsize), space.f_bavail.saturating_mul(space.f_frsize)))
}

fn left_of(whole: u64, free: u64) -> u64 {
    free.saturating_sub(UPLOAD_RESERVE.min(whole / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_left() {
        const GB: u64 = 1_000_000_000;
        assert_eq!(left_of(1000 * GB, 10 * GB), 10 * GB - UPLOAD_RESERVE);
        assert_eq!(left_of(GB, GB / 2), GB / 2 - GB / 100);
        assert_eq!(left_of(GB, GB / 200), 0);
    }

    #[test]
    fn a_real_file_system_answers() {
        assert!(left(tempfile::tempfile().unwrap()).unwrap() > 0);
    }
}
