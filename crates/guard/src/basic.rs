use http::header::{self, HeaderMap, HeaderValue};

/// What a program is told to send.
pub(crate) const CHALLENGE: &str = "Basic realm=\"doorstep\", charset=\"UTF-8\"";

/// A user name and password as HTTP Basic carries them (RFC 7617).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Basic {
    pub user: String,
    pub password: String,
}

/// The credentials of a request with exactly one `Authorization` field in the Basic scheme.
pub(crate) fn parse(headers: &HeaderMap) -> Option<Basic> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    parse_value(field)
}

/// The credentials of one `Authorization` value in the Basic scheme.
pub(crate) fn parse_value(field: &HeaderValue) -> Option<Basic> {
    let (scheme, rest) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(decode_base64(rest.trim_start_matches(' '))?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Basic { user: user.to_owned(), password: password.to_owned() })
}

/// Base64 with the standard alphabet, padding optional (RFC 4648 section 4).
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &'static str) -> Option<Basic> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
        parse(&headers)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let expected = Some(Basic { user: "Aladdin".to_owned(), password: "open sesame".to_owned() });
        assert_eq!(parsed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), expected);
        assert_eq!(parsed("bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ"), expected);
    }

    #[test]
    fn passwords_may_have_colons_and_umlauts() {
        let basic = parsed("Basic dTphOmLDvA==").unwrap();
        assert_eq!((basic.user.as_str(), basic.password.as_str()), ("u", "a:bü"));
    }

    #[test]
    fn what_is_not_basic() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic A",
            "Basic YQ==",
            "Basic Y Q=",
            "Basic YTpi===",
            "Basic /////w==",
            "Bearer YTpi",
        ] {
            assert_eq!(parsed(value), None, "{value:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
        assert_eq!(parse(&twice), None);
    }
}
