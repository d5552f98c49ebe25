use bytes::Bytes;
use doorstep_proto::http1::{BodyFraming, parse_response, write_response_head};
use http::{Method, Version};

use super::split_off_byte;

/// The first byte chooses the request's method; the rest is what an upstream sends.
pub fn check(data: &[u8]) {
    let Some((choice, wire)) = split_off_byte(data) else { return };
    let method = [Method::GET, Method::HEAD, Method::POST][choice % 3].clone();
    let Ok(head) = parse_response(&Bytes::copy_from_slice(wire), &method) else { return };
    assert!(!(head.headers.contains_key("transfer-encoding") && head.headers.contains_key("content-length")));
    assert!(!(head.keep_alive && head.framing == BodyFraming::UntilClose));
    if method == Method::HEAD || head.status.is_informational() {
        assert_eq!(head.framing, BodyFraming::None);
    }

    let mut again = Vec::new();
    write_response_head(&mut again, head.version, head.status, &head.headers);
    again.extend_from_slice(b"\r\n");
    let read = parse_response(&Bytes::from(again), &method).expect("what was accepted is accepted again");
    assert_eq!((read.status, read.framing, read.keep_alive), (head.status, head.framing, head.keep_alive));
    assert_eq!(read.headers, head.headers);
    assert!(matches!(read.version, Version::HTTP_10 | Version::HTTP_11));
}
