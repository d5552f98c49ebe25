use bytes::BytesMut;
use doorstep_proto::http1::{ChunkedDecoder, Decoded, write_chunk_size};
use http::HeaderMap;

use super::split_off_byte;

/// A whole body: its bytes, its trailers, and how much of the input came after it.
type Whole = (Vec<u8>, Option<HeaderMap>, usize);

/// The first byte is the size of the packets in which the rest arrives.
pub fn check(data: &[u8]) {
    let Some((size, wire)) = split_off_byte(data) else { return };
    let at_once = decode([wire].into_iter());
    let in_parts = decode(wire.chunks(size.max(1)));
    assert_eq!(at_once, in_parts, "packets matter");

    // What we pass on, the next one reads as we did.
    let Some((body, _, _)) = at_once else { return };
    let mut again = Vec::new();
    for chunk in body.chunks(size.max(1)) {
        write_chunk_size(&mut again, chunk.len());
        again.extend_from_slice(chunk);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(decode([&again[..]].into_iter()), Some((body, None, 0)));
}

/// `None` for what is malformed or not whole.
fn decode<'a>(packets: impl Iterator<Item = &'a [u8]>) -> Option<Whole> {
    let (mut decoder, mut buffer, mut body) = (ChunkedDecoder::default(), BytesMut::new(), Vec::new());
    let mut packets = packets;
    while let Some(packet) = packets.next() {
        buffer.extend_from_slice(packet);
        loop {
            match decoder.decode(&mut buffer).ok()? {
                Decoded::NeedMore => break,
                Decoded::Data(data) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(&data);
                }
                Decoded::End(trailers) => {
                    assert!(decoder.is_done());
                    let after = buffer.len() + packets.map(<[u8]>::len).sum::<usize>();
                    return Some((body, trailers, after));
                }
            }
        }
        assert!(buffer.len() <= 32 * 1024, "{} bytes are held back", buffer.len());
    }
    None
}
