//! `Content-Disposition` for names that may be in any script.

use std::fmt::Write;

use http::HeaderValue;

/// `attachment` under this name: the name in UTF-8 (RFC 8187), and what ASCII can say of it for old programs.
pub fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | '%' | ';') || c == ' ' { c } else { '_' })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::attachment;

    #[test]
    fn names_survive_in_both_forms() {
        assert_eq!(attachment("holiday 2026.zip"), "attachment; filename=\"holiday 2026.zip\"");
        assert_eq!(
            attachment("a\"b\r\nü.zip"),
            "attachment; filename=\"a_b___.zip\"; filename*=UTF-8''a%22b%0D%0A%C3%BC.zip"
        );
    }
}
