//! Frames: `LENGTH CRLF payload` and, compressed, `RAWZPACKED[R] CRLF packed`, all lengths hexadecimal.

use bytes::{Buf, Bytes, BytesMut};

use super::error::PageKiteError;
use super::limits::{MAX_FRAME, MAX_FRAME_LINE};
use super::zstream::{Packer, Unpacker};

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing to be had from the buffer as it is.
    NeedMore,
    Payload(Bytes),
    /// A frame of length zero: the other side closes the tunnel.
    Close,
}

/// Takes frames off a buffer. One zlib stream runs through all compressed frames of a direction.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    unpacker: Unpacker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Plain(usize),
    Packed { raw: usize, packed: usize, reset: bool },
}

impl FrameDecoder {
    /// Takes one frame off the front of `buffer`.
    ///
    /// # Errors
    /// The tunnel's framing, or its compression, is lost then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Frame, PageKiteError> {
        let seen = buffer.get(..buffer.len().min(MAX_FRAME_LINE)).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', seen) else {
            // What can be no length is refused before its line is complete.
            let odd = seen.iter().any(|byte| !byte.is_ascii_hexdigit() && !b"ZR\r".contains(byte));
            return if odd || seen.len() == MAX_FRAME_LINE {
                Err(PageKiteError::Frame("length line"))
            } else {
                Ok(Frame::NeedMore)
            };
        };
        let line = parse_line(seen.get(..end).unwrap_or_default())?;
        let start = end + 1;
        match line {
            Line::Plain(0) => {
                buffer.advance(start);
                Ok(Frame::Close)
            }
            Line::Plain(length) => Ok(take(buffer, start, length).map_or(Frame::NeedMore, Frame::Payload)),
            Line::Packed { raw, packed, reset } => {
                let Some(bytes) = take(buffer, start, packed) else { return Ok(Frame::NeedMore) };
                if reset {
                    self.unpacker = Unpacker::default();
                }
                self.unpacker.unpack(&bytes, raw).map(Frame::Payload)
            }
        }
    }
}

/// The bytes after a length line, once they are complete.
fn take(buffer: &mut BytesMut, start: usize, length: usize) -> Option<Bytes> {
    if buffer.len() < start + length {
        return None;
    }
    buffer.advance(start);
    Some(buffer.split_to(length).freeze())
}

fn parse_line(line: &[u8]) -> Result<Line, PageKiteError> {
    let malformed = PageKiteError::Frame("length line");
    let text = line.strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok()).ok_or(malformed.clone())?;
    let Some((raw, packed)) = text.split_once('Z') else { return Ok(Line::Plain(length(text)?)) };
    let (packed, reset) = packed.strip_suffix('R').map_or((packed, false), |digits| (digits, true));
    let (raw, packed) = (length(raw)?, length(packed)?);
    if raw == 0 || packed == 0 {
        return Err(malformed);
    }
    Ok(Line::Packed { raw, packed, reset })
}

fn length(digits: &str) -> Result<usize, PageKiteError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(PageKiteError::Frame("length line"));
    }
    usize::from_str_radix(digits, 16).ok().filter(|&length| length <= MAX_FRAME).ok_or(PageKiteError::FrameTooLarge)
}

/// Writes frames; compressed ones only if the other side said that it reads them.
#[derive(Debug, Default)]
pub struct FrameEncoder {
    packer: Option<Packer>,
}

impl FrameEncoder {
    /// From now on compresses what is worth it.
    pub fn compress(&mut self) {
        self.packer.get_or_insert_default();
    }

    /// The other side lost its place in the zlib stream: begins a new one.
    pub fn reset(&mut self) {
        if let Some(packer) = &mut self.packer {
            packer.restart();
        }
    }

    /// Writes a frame of `head` and `body`, which together are not empty and at most [`MAX_FRAME`] bytes.
    pub fn encode(&mut self, out: &mut BytesMut, head: &[u8], body: &[u8]) {
        let raw = head.len() + body.len();
        if let Some(packer) = &mut self.packer
            && packer.is_worth(raw)
        {
            let (packed, reset) = packer.pack(head, body);
            let mark = if reset { "R" } else { "" };
            out.extend_from_slice(format!("{raw:x}Z{:x}{mark}\r\n", packed.len()).as_bytes());
            out.extend_from_slice(&packed);
            return;
        }
        out.extend_from_slice(format!("{raw:x}\r\n").as_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(body);
    }

    /// Writes the frame that closes a tunnel.
    pub fn encode_close(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"0\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(decoder: &mut FrameDecoder, buffer: &mut BytesMut) -> Result<Vec<Bytes>, PageKiteError> {
        let mut payloads = Vec::new();
        loop {
            match decoder.decode(buffer)? {
                Frame::NeedMore => return Ok(payloads),
                Frame::Payload(payload) => payloads.push(payload),
                Frame::Close => payloads.push(Bytes::new()),
            }
        }
    }

    fn written(payloads: &[Vec<u8>], compress: bool) -> BytesMut {
        let (mut encoder, mut out) = (FrameEncoder::default(), BytesMut::new());
        if compress {
            encoder.compress();
        }
        for (number, payload) in payloads.iter().enumerate() {
            if number % 3 == 2 {
                encoder.reset();
            }
            encoder.encode(&mut out, payload, b"\r\n!");
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..250), 1..5),
            compress: bool,
        ) {
            let out = written(&payloads, compress);
            let expected: Vec<Bytes> = payloads.iter().map(|p| [&p[..], b"\r\n!"].concat().into()).collect();
            for cut in 0..=out.len() {
                let (mut decoder, mut buffer) = (FrameDecoder::default(), BytesMut::from(&out[..cut]));
                let mut payloads = decode_all(&mut decoder, &mut buffer).unwrap();
                buffer.extend_from_slice(&out[cut..]);
                payloads.extend(decode_all(&mut decoder, &mut buffer).unwrap());
                prop_assert_eq!(&payloads, &expected, "cut at {}", cut);
                prop_assert!(buffer.is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn any_change_is_judged(payload in proptest::collection::vec(0u8..4, 0..300), at: usize, byte: u8, compress: bool) {
            let mut out = written(&[payload], compress);
            let at = at % out.len();
            out[at] = byte;
            let _ = decode_all(&mut FrameDecoder::default(), &mut out);
        }

        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>) {
            let _ = decode_all(&mut FrameDecoder::default(), &mut BytesMut::from(&bytes[..]));
        }
    }

    #[test]
    fn lines_are_exact() {
        for (line, wanted) in [
            ("b\r\n", Ok(Frame::NeedMore)),
            ("0\r\n", Ok(Frame::Close)),
            ("b\n", Err(PageKiteError::Frame("length line"))),
            ("\r\n", Err(PageKiteError::Frame("length line"))),
            ("+b\r\n", Err(PageKiteError::Frame("length line"))),
            ("bZ\r\n", Err(PageKiteError::Frame("length line"))),
            ("Zb\r\n", Err(PageKiteError::Frame("length line"))),
            ("bRZb\r\n", Err(PageKiteError::Frame("length line"))),
            ("0Z4\r\n", Err(PageKiteError::Frame("length line"))),
            ("100001\r\n", Err(PageKiteError::FrameTooLarge)),
            ("1Z100001\r\n", Err(PageKiteError::FrameTooLarge)),
            ("ffffffffffffffffff\r\n", Err(PageKiteError::FrameTooLarge)),
            ("GET / HTTP/1.1", Err(PageKiteError::Frame("length line"))),
            ("000000000000000000000000", Err(PageKiteError::Frame("length line"))),
        ] {
            assert_eq!(FrameDecoder::default().decode(&mut BytesMut::from(line)), wanted, "{line:?}");
        }
    }
}
