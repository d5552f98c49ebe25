//! File names inside HTML, URLs and JSON. A name is any bytes but `/` and NUL, and its author may be hostile.

use std::fmt::Write;

/// Appends a name as HTML text, safe in elements and in double-quoted attributes. What cannot be seen, or turns the
/// text around it (control and bidirectional characters), is shown as a mark in its place.
pub fn push_html(name: &str, out: &mut String) {
    for c in name.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_deceptive(c) => out.push(mark(c)),
            c => out.push(c),
        }
    }
}

/// [`push_html`] into a string of its own.
pub fn html(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    push_html(name, &mut text);
    text
}

/// Appends a name as one segment of a URL's path: everything but unreserved characters (RFC 3986, section 2.3) is
/// escaped, so that a colon makes no scheme of what stands before it.
pub fn push_href(name: &str, out: &mut String) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// [`push_href`] into a string of its own.
pub fn href(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    push_href(name, &mut text);
    text
}

/// Appends a JSON string, quotes included.
pub fn push_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if is_deceptive(c) || c == '<' => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a request can name it: the engine takes no path with control characters, or that is not UTF-8.
pub fn is_addressable(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control))
}

/// Control characters, and the invisible ones that reorder or hide text (UAX #9, and zero-width space and no-break).
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

fn mark(c: char) -> char {
    match c as u32 {
        ascii @ 0..=0x1F => char::from_u32(0x2400 + ascii).unwrap_or('\u{FFFD}'),
        0x7F => '\u{2421}',
        _ => '\u{FFFD}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_html() {
        assert_eq!(
            html(r#"<img src=x onerror="a('b')">&"#),
            "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_marked() {
        assert_eq!(html("a\nb\u{202E}gpj.exe\u{7F}\u{200B}"), "a␊b\u{FFFD}gpj.exe␡\u{FFFD}");
        assert_eq!(html("family 👨\u{200D}👩 ünï"), "family 👨\u{200D}👩 ünï");
    }

    #[test]
    fn hrefs_are_one_segment() {
        assert_eq!(href("javascript:alert(1)"), "javascript%3Aalert%281%29");
        assert_eq!(href("a b%2F?#&+ü\\"), "a%20b%252F%3F%23%26%2B%C3%BC%5C");
    }

    #[test]
    fn json_strings_parse_back() {
        let name = "a\"b\\c\n\u{202E}</script>\u{1F600}é";
        let mut json = String::new();
        push_json(name, &mut json);
        assert!(!json.contains('<') && !json.contains('\n'));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    }

    #[test]
    fn only_plain_names_are_addressable() {
        assert!(is_addressable("naïve \u{202E} \\ name".as_bytes()));
        assert!(!is_addressable(b"line\nbreak"));
        assert!(!is_addressable("c1 \u{85}".as_bytes()));
        assert!(!is_addressable(b"latin1 \xFF"));
    }
}
