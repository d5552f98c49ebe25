//! Names that nobody can guess.

use std::fmt::Write;

use rustix::rand::{GetRandomFlags, getrandom};

/// 128 bits from the kernel as 32 hexadecimal digits.
///
/// # Errors
/// The kernel has no randomness to give: on systems older than `getrandom(2)`, or in an odd sandbox.
pub fn token() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = String::with_capacity(32);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_differ() {
        let (a, b) = (super::token().unwrap(), super::token().unwrap());
        assert_eq!(a.len(), 32);
        assert!(a != b && a.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
