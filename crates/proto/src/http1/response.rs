use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use super::BodyFraming;
use super::error::HeadError;
use super::fields::{Present, connection_tokens, to_map};
use super::limits::MAX_FIELDS;
use super::request::parse_length;

/// A response's head, checked: where its body ends can be read in one way only.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub version: Version,
    /// As sent.
    pub headers: HeaderMap,
    /// What follows the head on the connection. [`BodyFraming::None`] for 1xx, 204, 304 and the answer to HEAD,
    /// whatever their fields say.
    pub framing: BodyFraming,
    /// Whether the server allows another request on the connection (RFC 9112 section 9.3).
    pub keep_alive: bool,
}

/// Parses a complete response head: status line, fields, final empty line. `method` is the request's.
///
/// # Errors
/// [`HeadError`] when it is malformed, or its framing fields contradict each other. The connection cannot be used
/// any more.
pub fn parse_response(head: &Bytes, method: &Method) -> Result<ResponseHead, HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, head, &mut fields) {
        Ok(httparse::Status::Complete(used)) if used == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed("status line")),
        Err(error) => return Err(explain(error)),
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(HeadError::Malformed("status line"));
    };
    let status = StatusCode::from_u16(code).map_err(|_| HeadError::Malformed("status code"))?;
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let (headers, present) = to_map(head, parsed.headers)?;
    let declared = declared_framing(&headers, present, version)?;
    let framing = if has_no_body(status, method) { BodyFraming::None } else { declared };
    let mut close = false;
    let mut keep = false;
    if present.has(Present::CONNECTION) {
        for token in connection_tokens(&headers, &header::CONNECTION) {
            close |= token.eq_ignore_ascii_case("close");
            keep |= token.eq_ignore_ascii_case("keep-alive");
        }
    }
    let persistent = !close && (version == Version::HTTP_11 || keep);
    Ok(ResponseHead { keep_alive: persistent && framing != BodyFraming::UntilClose, status, version, headers, framing })
}

/// Responses that end with their head (RFC 9112 section 6.3, items 1 and 2).
fn has_no_body(status: StatusCode, method: &Method) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// What the fields say, if they can be read in one way only (RFC 9112 section 6.3, items 3 to 8).
fn declared_framing(headers: &HeaderMap, present: Present, version: Version) -> Result<BodyFraming, HeadError> {
    if !present.has(Present::CONTENT_LENGTH) && !present.has(Present::TRANSFER_ENCODING) {
        return Ok(BodyFraming::UntilClose);
    }
    let mut length = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        // A list of equal lengths is one length (RFC 9110 section 8.6).
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let one = parse_length(one.trim_ascii()).ok_or(HeadError::Malformed("Content-Length"))?;
            if length.is_some_and(|before| before != one) {
                return Err(HeadError::Malformed("Content-Length fields that differ"));
            }
            length = Some(one);
        }
    }
    if let (false, Some(length)) = (present.has(Present::TRANSFER_ENCODING), length) {
        return Ok(if length == 0 { BodyFraming::None } else { BodyFraming::Length(length) });
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    match (codings.next(), length) {
        (None, None) => Ok(BodyFraming::UntilClose),
        (None, Some(0)) => Ok(BodyFraming::None),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
        (Some(_), Some(_)) => Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
        (Some(_), None) if version == Version::HTTP_10 => Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0")),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            Ok(BodyFraming::Chunked)
        }
        _ => Err(HeadError::TransferCoding),
    }
}

fn explain(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderName => HeadError::Malformed("field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("field value"),
        httparse::Error::Version => HeadError::Version,
        httparse::Error::Status => HeadError::Malformed("status code"),
        _ => HeadError::Malformed("status line"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::HeadScanner;

    fn parse(text: &str) -> Result<ResponseHead, HeadError> {
        parse_response(&Bytes::copy_from_slice(text.as_bytes()), &Method::GET)
    }

    fn framing(fields: &str) -> Result<BodyFraming, HeadError> {
        parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|head| head.framing)
    }

    #[test]
    fn body_lengths() {
        assert_eq!(framing(""), Ok(BodyFraming::UntilClose));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(BodyFraming::None));
        assert_eq!(framing("Content-Length: 7\r\n"), Ok(BodyFraming::Length(7)));
        assert_eq!(framing("Content-Length: 7\r\nContent-Length: 7\r\n"), Ok(BodyFraming::Length(7)));
        assert_eq!(framing("Content-Length: 7, 7\r\n"), Ok(BodyFraming::Length(7)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(BodyFraming::Chunked));
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1, 2\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 1,\r\n",
            "Content-Length: 9999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: a\r\n b\r\n",
        ] {
            assert!(framing(fields).is_err(), "{fields:?}");
        }
        assert!(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn responses_without_a_body() {
        for status in ["100 Continue", "101 Switching Protocols", "204 No Content", "304 Not Modified"] {
            let head = parse(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n")).unwrap();
            assert_eq!(head.framing, BodyFraming::None, "{status}");
        }
        let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let head = parse_response(&head, &Method::HEAD).unwrap();
        assert_eq!((head.framing, &head.headers["content-length"]), (BodyFraming::None, &HeaderValue::from(5)));
    }

    #[test]
    fn persistence() {
        let keeps = |text: &str| parse(text).unwrap().keep_alive;
        assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: a, CLOSE\r\n\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn malformed_heads() {
        for text in [
            "\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTQ/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 abc OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: b\r\n\r\nmore",
            "+OK POP3 ready\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse("HTTP/1.1 200\r\n\r\n").is_ok(), "a reason phrase may be missing");
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(&many).unwrap_err(), HeadError::TooManyFields);
    }

    proptest! {
        #[test]
        fn never_panics(noise in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_response(&Bytes::from(noise), &Method::GET);
        }

        #[test]
        fn any_head_survives_any_split(
            code in 200u16..600,
            fields in prop::collection::vec(("X-[A-Za-z0-9-]{1,20}", "[!-~]([ -~]{0,40}[!-~])?"), 0..20),
            cut in 1usize..30,
        ) {
            let mut text = format!("HTTP/1.1 {code} Whatever\r\n");
            for (name, value) in &fields {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            let mut scanner = HeadScanner::default();
            let mut buffer = Vec::new();
            let mut end = None;
            for piece in text.as_bytes().chunks(cut) {
                prop_assert_eq!(end, None);
                buffer.extend_from_slice(piece);
                end = scanner.scan(&buffer).unwrap();
            }
            prop_assert_eq!(end, Some(text.len()));
            let head = parse(&text).unwrap();
            prop_assert_eq!(head.status.as_u16(), code);
            prop_assert_eq!(head.headers.len(), fields.len());
            for (name, value) in &fields {
                let sent: Vec<_> = head.headers.get_all(name.as_str()).iter().collect();
                prop_assert!(sent.iter().any(|got| got.as_bytes() == value.as_bytes()));
            }
        }
    }
}
