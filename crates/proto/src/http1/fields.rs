use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::error::HeadError;

/// Which of the fields that decide about a message's framing there are. Noted while the fields are read, so that those
/// that are not there, as most are not, need not be looked for one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present(u8);

impl Present {
    pub(super) const CONNECTION: Self = Self(1);
    pub(super) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(super) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(super) const EXPECT: Self = Self(1 << 3);

    pub(super) fn has(self, field: Self) -> bool {
        self.0 & field.0 != 0
    }

    fn note(&mut self, name: &HeaderName) {
        for (field, bit) in [
            (&header::CONNECTION, Self::CONNECTION),
            (&header::CONTENT_LENGTH, Self::CONTENT_LENGTH),
            (&header::TRANSFER_ENCODING, Self::TRANSFER_ENCODING),
            (&header::EXPECT, Self::EXPECT),
        ] {
            if name == field {
                self.0 |= bit.0;
            }
        }
    }
}

/// Turns parsed fields into a map whose values are slices of `head`, without copying them.
pub(super) fn to_map(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<(HeaderMap, Present), HeadError> {
    let mut map = HeaderMap::with_capacity(fields.len());
    let mut present = Present::default();
    for field in fields {
        let name = name_of(field.name.as_bytes())?;
        present.note(&name);
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| HeadError::Malformed("field value"))?;
        map.try_append(name, value).map_err(|_| HeadError::TooManyFields)?;
    }
    Ok((map, present))
}

/// The name of a field. The usual ones are told by their length and a comparison, in less time than it takes to look
/// at each byte for whether it may stand in a name.
fn name_of(bytes: &[u8]) -> Result<HeaderName, HeadError> {
    let candidates: &[HeaderName] = match bytes.len() {
        4 => const { &[header::HOST, header::DATE, header::ETAG, header::VARY] },
        6 => const { &[header::ACCEPT, header::COOKIE, header::SERVER, header::ORIGIN] },
        7 => const { &[header::REFERER] },
        10 => const { &[header::CONNECTION, header::USER_AGENT, header::SET_COOKIE] },
        12 => const { &[header::CONTENT_TYPE] },
        13 => const { &[header::CACHE_CONTROL, header::LAST_MODIFIED, header::ACCEPT_RANGES, header::AUTHORIZATION] },
        14 => const { &[header::CONTENT_LENGTH] },
        15 => const { &[header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE] },
        16 => const { &[header::CONTENT_ENCODING] },
        17 => const { &[header::TRANSFER_ENCODING, header::IF_MODIFIED_SINCE] },
        _ => &[],
    };
    match candidates.iter().find(|name| bytes.eq_ignore_ascii_case(name.as_str().as_bytes())) {
        Some(usual) => Ok(usual.clone()),
        None => HeaderName::from_bytes(bytes).map_err(|_| HeadError::Malformed("field name")),
    }
}

/// Parses a complete field section: lines and the final empty line. Used for trailers.
///
/// # Errors
/// [`HeadError`] when it is not one, or has more than `most` fields.
pub fn parse_fields(section: &Bytes, most: usize) -> Result<HeaderMap, HeadError> {
    let mut fields = vec![httparse::EMPTY_HEADER; most];
    match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((used, parsed))) if used == section.len() => {
            to_map(section, parsed).map(|(map, _)| map)
        }
        Ok(_) => Err(HeadError::Malformed("field section")),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Err(_) => Err(HeadError::Malformed("field section")),
    }
}

/// The comma-separated tokens of a list-valued field in all its lines, such as `Connection` (RFC 9110 section 5.6.1).
pub fn connection_tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|value| value.to_str().unwrap_or("").split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_those_that_they_would_be_anyway() {
        for name in [
            "host",
            "date",
            "etag",
            "vary",
            "accept",
            "cookie",
            "server",
            "origin",
            "referer",
            "connection",
            "user-agent",
            "set-cookie",
            "content-type",
            "cache-control",
            "last-modified",
            "accept-ranges",
            "authorization",
            "content-length",
            "accept-encoding",
            "accept-language",
            "content-encoding",
            "transfer-encoding",
            "if-modified-since",
            "expect",
            "upgrade",
            "x-of-my-own",
        ] {
            for spelling in [name.to_owned(), name.to_ascii_uppercase(), name.replace('-', "_")] {
                let parsed = HeaderName::from_bytes(spelling.as_bytes()).unwrap();
                assert_eq!(name_of(spelling.as_bytes()), Ok(parsed), "{spelling}");
            }
        }
        assert!(name_of(b"ho t").is_err() && name_of(b"").is_err());
    }

    #[test]
    fn what_is_there_is_noted_in_any_spelling() {
        let head =
            Bytes::from_static(b"CONTENT-length: 1\r\ntransfer-Encoding: x\r\nexpect: y\r\nConnection: z\r\n\r\n");
        let mut fields = [httparse::EMPTY_HEADER; 4];
        let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(&head, &mut fields) else {
            panic!("four fields");
        };
        let all = [Present::CONTENT_LENGTH, Present::TRANSFER_ENCODING, Present::EXPECT, Present::CONNECTION];
        for (at, field) in all.into_iter().enumerate() {
            let (_, one) = to_map(&head, &parsed[at..=at]).unwrap();
            for other in all {
                assert_eq!(one.has(other), other == field, "{at}");
            }
        }
        assert!(all.into_iter().all(|field| to_map(&head, parsed).unwrap().1.has(field)));
    }
}
