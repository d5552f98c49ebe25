use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::error::HeadError;

/// Turns parsed fields into a map whose values are slices of `head`, without copying them.
pub(super) fn to_map(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, HeadError> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadError::Malformed("field name"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| HeadError::Malformed("field value"))?;
        map.try_append(name, value).map_err(|_| HeadError::TooManyFields)?;
    }
    Ok(map)
}

/// Parses a complete field section: lines and the final empty line. Used for trailers.
///
/// # Errors
/// [`HeadError`] when it is not one, or has more than `most` fields.
pub fn parse_fields(section: &Bytes, most: usize) -> Result<HeaderMap, HeadError> {
    let mut fields = vec![httparse::EMPTY_HEADER; most];
    match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((used, parsed))) if used == section.len() => to_map(section, parsed),
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
