use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::error::ChunkError;
use super::fields::parse_fields;
use super::limits::{MAX_CHUNK, MAX_CHUNK_DIGITS, MAX_CHUNK_EXTENSIONS, MAX_CHUNK_LINE, MAX_TRAILERS};

/// Decodes the chunked transfer coding (RFC 9112 section 7.1).
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    extension_bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    Terminator,
    Trailers,
    End,
}

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Nothing to be had from the buffer as it is.
    NeedMore,
    Data(Bytes),
    /// The body is complete. Trailer fields that would change framing, routing or access are left out
    /// (RFC 9110 section 6.5.1). Asked again, it says the same without trailers.
    End(Option<HeaderMap>),
}

/// Trailer fields in one section.
const MAX_TRAILER_FIELDS: usize = 32;

impl ChunkedDecoder {
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Takes what it can off the front of `buffer`.
    ///
    /// # Errors
    /// [`ChunkError`]; the connection's framing is lost then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ChunkError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, MAX_CHUNK_LINE, ChunkError::Size)? else {
                        return Ok(Decoded::NeedMore);
                    };
                    let size = self.parse_size(&line)?;
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Decoded::NeedMore);
                    }
                    let take = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - take as u64;
                    self.state = if left == 0 { State::Terminator } else { State::Data(left) };
                    return Ok(Decoded::Data(buffer.split_to(take).freeze()));
                }
                State::Terminator => {
                    if !b"\r\n".starts_with(&buffer[..buffer.len().min(2)]) {
                        return Err(ChunkError::Terminator);
                    }
                    if buffer.len() < 2 {
                        return Ok(Decoded::NeedMore);
                    }
                    buffer.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(section) = take_trailers(buffer)? else { return Ok(Decoded::NeedMore) };
                    self.state = State::End;
                    return Ok(Decoded::End(parse_trailers(&section)?));
                }
                State::End => return Ok(Decoded::End(None)),
            }
        }
    }

    fn parse_size(&mut self, line: &[u8]) -> Result<u64, ChunkError> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits == 0 || digits > MAX_CHUNK_DIGITS {
            return Err(ChunkError::Size);
        }
        let (size, extensions) = line.split_at(digits);
        self.extension_bytes += extensions.len();
        if self.extension_bytes > MAX_CHUNK_EXTENSIONS {
            return Err(ChunkError::TooManyExtensions);
        }
        if !valid_extensions(extensions) {
            return Err(ChunkError::Extension);
        }
        let size = std::str::from_utf8(size).map_err(|_| ChunkError::Size)?;
        u64::from_str_radix(size, 16).ok().filter(|size| *size <= MAX_CHUNK).ok_or(ChunkError::Size)
    }
}

/// A line without its CRLF, taken off the front.
fn take_line(buffer: &mut BytesMut, most: usize, error: ChunkError) -> Result<Option<BytesMut>, ChunkError> {
    match memchr::memchr(b'\n', &buffer[..buffer.len().min(most)]) {
        Some(end) => {
            let mut line = buffer.split_to(end + 1);
            if end == 0 || line[end - 1] != b'\r' {
                return Err(error);
            }
            line.truncate(end - 1);
            Ok(Some(line))
        }
        None if buffer.len() >= most => Err(error),
        // A size that cannot become one is refused without waiting for its line to end.
        None if buffer.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => Err(error),
        None if buffer.iter().take_while(|byte| byte.is_ascii_hexdigit()).count() > MAX_CHUNK_DIGITS => Err(error),
        None => Ok(None),
    }
}

fn take_trailers(buffer: &mut BytesMut) -> Result<Option<Bytes>, ChunkError> {
    if buffer.starts_with(b"\r\n") {
        return Ok(Some(buffer.split_to(2).freeze()));
    }
    for end in memchr::memchr_iter(b'\n', buffer) {
        if end == 0 || buffer[end - 1] != b'\r' {
            return Err(ChunkError::Trailers);
        }
        if buffer[..end].ends_with(b"\r\n\r") {
            return if end < MAX_TRAILERS {
                Ok(Some(buffer.split_to(end + 1).freeze()))
            } else {
                Err(ChunkError::TrailersTooLarge)
            };
        }
    }
    if buffer.len() > MAX_TRAILERS { Err(ChunkError::TrailersTooLarge) } else { Ok(None) }
}

fn parse_trailers(section: &Bytes) -> Result<Option<HeaderMap>, ChunkError> {
    use http::header;
    if section.len() == 2 {
        return Ok(None);
    }
    let mut trailers = parse_fields(section, MAX_TRAILER_FIELDS).map_err(|_| ChunkError::Trailers)?;
    for forbidden in [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::HOST,
        header::CONNECTION,
        header::TRAILER,
        header::TE,
        header::UPGRADE,
        header::AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::EXPECT,
        header::CACHE_CONTROL,
        header::FORWARDED,
    ] {
        trailers.remove(forbidden);
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}

/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 section 7.1.1).
fn valid_extensions(mut rest: &[u8]) -> bool {
    loop {
        let trimmed = trim_start(rest);
        if trimmed.is_empty() {
            return rest.is_empty();
        }
        let Some(after) = trimmed.strip_prefix(b";") else { return false };
        let Some(after) = token(trim_start(after)) else { return false };
        rest = after;
        if let Some(value) = trim_start(after).strip_prefix(b"=") {
            let value = trim_start(value);
            let Some(after) = token(value).or_else(|| quoted_string(value)) else { return false };
            rest = after;
        }
    }
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blanks..]
}

/// What follows a token, if there is one.
fn token(bytes: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = bytes.iter().take_while(is_token).count();
    (length > 0).then(|| &bytes[length..])
}

/// What follows a quoted string, if there is one.
fn quoted_string(bytes: &[u8]) -> Option<&[u8]> {
    let mut inside = bytes.strip_prefix(b"\"")?;
    loop {
        match inside {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escaped, after @ ..] if *escaped == b'\t' || (0x20..0x7f).contains(escaped) => inside = after,
            [byte, after @ ..] if *byte != b'\\' && (*byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)) => {
                inside = after;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<HeaderMap>, BytesMut), ChunkError> {
        let mut decoder = ChunkedDecoder::default();
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::NeedMore => break,
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::End(trailers) => return Ok((body, trailers, buffer)),
                }
            }
        }
        panic!("not complete: {decoder:?}")
    }

    #[test]
    fn trailers_and_what_follows() {
        let wire = b"3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\nGET";
        let (body, trailers, rest) = decode_all(&[wire]).unwrap();
        let trailers = trailers.unwrap();
        assert_eq!((body.as_slice(), trailers.len(), &rest[..]), (&b"abc"[..], 1, &b"GET"[..]));
        assert_eq!(trailers["x-sum"], "1");
    }

    #[test]
    fn refused() {
        let zeros = [b'0'; 17];
        let long = [b"1;".as_slice(), &[b'a'; 600]].concat();
        let table: [(&[u8], ChunkError); 13] = [
            (b"ffffffffffffffff\r\n", ChunkError::Size),
            (b"g\r\n", ChunkError::Size),
            (b"\r\n", ChunkError::Size),
            (b"-1\r\n", ChunkError::Size),
            (b"0x1\r\n", ChunkError::Extension),
            (b"1\n", ChunkError::Size),
            (&zeros, ChunkError::Size),
            (&long, ChunkError::Size),
            (b"1 \r\na\r\n", ChunkError::Extension),
            (b"1;\r\na\r\n", ChunkError::Extension),
            (b"1;a=\r\na\r\n", ChunkError::Extension),
            (b"1\r\nab\r\n", ChunkError::Terminator),
            (b"0\r\nno colon\r\n\r\n", ChunkError::Trailers),
        ];
        for (wire, expected) in table {
            let error = decode_all(&[wire]).expect_err(&String::from_utf8_lossy(wire));
            assert_eq!(error, expected, "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn extensions_are_bounded_over_the_whole_body() {
        let one = format!("1;{}\r\na\r\n", "x".repeat(400));
        assert_eq!(decode_all(&[one.repeat(11).as_bytes()]).unwrap_err(), ChunkError::TooManyExtensions);
    }

    proptest! {
        #[test]
        fn any_body_survives_any_split(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 0..8), cut in 1usize..40) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x};n=\"q\\\"v\"\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
            let (body, trailers, rest) = decode_all(&pieces).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert!(trailers.is_none() && rest.is_empty());
        }

        #[test]
        fn never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = BytesMut::from(&noise[..]);
            let mut decoder = ChunkedDecoder::default();
            while let Ok(Decoded::Data(_)) = decoder.decode(&mut buffer) {}
        }
    }
}
