use bytes::Bytes;
use doorstep_proto::http1::{BodyFraming, HeadScanner, parse_request, valid_authority, write_request_head};
use http::Version;

use super::split_off_byte;

/// The first byte says where the bytes are cut in two; the rest is what a client sends.
pub fn check(data: &[u8]) {
    let Some((cut, wire)) = split_off_byte(data) else { return };
    scanner_does_not_mind_packets(wire, cut);
    let Ok(Some(end)) = HeadScanner::default().scan(wire) else { return };
    let Ok(head) = parse_request(&Bytes::copy_from_slice(&wire[..end])) else { return };

    assert!(valid_authority(&head.authority) || (head.authority.is_empty() && head.version == Version::HTTP_10));
    assert!(head.target == "*" || head.target.path().starts_with('/'), "{}", head.target);
    assert!(head.target.authority().is_none());
    assert!(!(head.headers.contains_key("transfer-encoding") && head.headers.contains_key("content-length")));
    assert_eq!(head.headers.contains_key("transfer-encoding"), head.framing == BodyFraming::Chunked);

    // What we pass on, the next one reads as we did.
    if head.method == http::Method::CONNECT || head.version == Version::HTTP_10 {
        return;
    }
    let mut again = Vec::new();
    let target = head.target.path_and_query().map_or("*", |target| target.as_str());
    write_request_head(&mut again, &head.method, target, &head.headers);
    again.extend_from_slice(b"\r\n");
    let read = parse_request(&Bytes::from(again)).expect("what was accepted is accepted again");
    assert_eq!(read.target.to_string(), head.target.to_string());
    assert_eq!((read.method, read.authority), (head.method, head.authority));
    assert_eq!((read.framing, read.keep_alive, read.upgrade), (head.framing, head.keep_alive, head.upgrade));
    assert_eq!(read.headers, head.headers);
}

fn scanner_does_not_mind_packets(wire: &[u8], cut: usize) {
    let whole = HeadScanner::default().scan(wire);
    let mut scanner = HeadScanner::default();
    let first = scanner.scan(&wire[..cut.min(wire.len())]);
    let in_parts = match first {
        Ok(None) => scanner.scan(wire),
        early => early,
    };
    assert_eq!(whole, in_parts);
}
