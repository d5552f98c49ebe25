use doorstep_proto::proxy_header::{ProxyHeader, limits, parse, write_v1, write_v2};

pub fn check(data: &[u8]) {
    let whole = parse(data);
    // Each byte more either leaves it open, or decides it once and for all.
    let mut decided = None;
    for end in 0..=data.len() {
        match parse(&data[..end]) {
            Ok(None) => assert!(decided.is_none(), "undecided again at {end}"),
            outcome => assert_eq!(*decided.get_or_insert(outcome), outcome, "another reading at {end}"),
        }
    }
    assert_eq!(decided.unwrap_or(Ok(None)), whole);
    match whole {
        Ok(None) => assert!(data.len() < limits::MAX_V2, "{} bytes are held back", data.len()),
        Ok(Some(header)) => {
            assert!(header.length <= data.len() && header.length <= limits::MAX_V2);
            write_again(header);
        }
        Err(_) => {}
    }
}

/// What we pass on, the next one reads as we did.
fn write_again(header: ProxyHeader) {
    let Some((from, to)) = header.addresses else { return };
    for write in [write_v1, write_v2] {
        let mut bytes = Vec::new();
        write(&mut bytes, from, to);
        assert_eq!(parse(&bytes), Ok(Some(ProxyHeader { length: bytes.len(), addresses: header.addresses })));
    }
}
