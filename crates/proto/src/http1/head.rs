use super::error::HeadError;
use super::limits::MAX_HEAD;

/// Finds the end of a message head in a growing buffer, looking at each byte once, and refuses what is no head
/// as early as it shows: a line feed without its carriage return (RFC 9112 section 2.2), too many bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    scanned: usize,
}

impl HeadScanner {
    /// The length of the head that `buffer` starts with, final empty line included; `None` if more bytes are needed.
    /// The buffer is the same one at each call, grown at its end only.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`] and [`HeadError::Malformed`].
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, HeadError> {
        let from = self.scanned;
        for offset in memchr::memchr_iter(b'\n', buffer.get(from..).unwrap_or_default()) {
            let at = from + offset;
            let before = &buffer[..at];
            if !before.ends_with(b"\r") {
                return Err(HeadError::Malformed("a line ends without a carriage return"));
            }
            if before.ends_with(b"\r\n\r") {
                return if at < MAX_HEAD { Ok(Some(at + 1)) } else { Err(HeadError::TooLarge) };
            }
        }
        self.scanned = buffer.len();
        if buffer.len() > MAX_HEAD { Err(HeadError::TooLarge) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for split in 0..head.len() {
            let mut scanner = HeadScanner::default();
            let first = scanner.scan(&head[..split]).unwrap();
            let end = first.or_else(|| scanner.scan(head).unwrap());
            assert_eq!(end, Some(27), "split at {split}");
        }
    }

    #[test]
    fn bare_line_feed_is_refused_at_once() {
        assert!(HeadScanner::default().scan(b"GET / HTTP/1.1\nHost").is_err());
        assert!(HeadScanner::default().scan(b"\n").is_err());
    }

    #[test]
    fn endless_heads_are_refused() {
        assert_eq!(HeadScanner::default().scan(&vec![b'a'; MAX_HEAD + 1]), Err(HeadError::TooLarge));
    }
}
