use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::RESPONSE_HEAD;

/// What a proxy or a relay answered: the status, and the head's lines as text.
#[derive(Debug)]
pub(super) struct Head {
    pub status: u16,
    pub lines: Vec<String>,
}

impl Head {
    /// The value of a field, if it is there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Reads the head of an answer and not a byte more.
///
/// # Errors
/// It is none, or longer than [`RESPONSE_HEAD`], or the connection ended before.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let mut head = Vec::new();
    // Byte by byte, since what follows is another protocol's. It happens once for each connection.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= RESPONSE_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of the answer does not end"));
        }
        head.push(stream.read_u8().await?);
        let begins = head.len().min(7);
        if head.get(..begins) != b"HTTP/1.".get(..begins) {
            return Err(invalid());
        }
    }
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(invalid)?;
    Ok(Head { status, lines: lines.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_the_head_and_nothing_behind_it() {
        let mut bytes: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: doorstep/1\r\n\r\n\x02\0";
        let head = read(&mut bytes).await.unwrap();
        assert_eq!((head.status, head.field("Upgrade")), (101, Some("doorstep/1")));
        assert_eq!(bytes, b"\x02\0");
        for wrong in [&b"SSH-2.0-OpenSSH"[..], b"HTTP/1.1 two\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"", &[b'H'; 9]] {
            assert!(read(&mut &*wrong).await.is_err());
        }
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; RESPONSE_HEAD]].concat();
        assert!(read(&mut endless.as_slice()).await.unwrap_err().to_string().contains("does not end"));
    }
}
