use std::io::Write as _;
use std::time::SystemTime;

use doorstep_http::Exchange;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use super::redact::{redact, redact_referer};

/// Lines in Apache's combined format. What one line costs is part of what every request costs, so nothing is allocated
/// for it and the time is put in words once a second.
pub(super) struct Combined {
    zone: UtcOffset,
    second: i64,
    time: String,
}

impl Combined {
    pub(super) fn new(zone: UtcOffset) -> Self {
        Self { zone, second: i64::MIN, time: String::new() }
    }

    /// `192.168.1.40 - - [04/May/2026:14:02:11 +0000] "GET / HTTP/1.1" 200 4123 "-" "Mozilla/5.0"`
    pub(super) fn add(&mut self, out: &mut Vec<u8>, exchange: &Exchange) {
        self.set_time(exchange.began);
        let _ = write!(out, "{} - - [{}] \"", exchange.client.to_canonical(), self.time);
        quote(out, exchange.method.as_str());
        out.push(b' ');
        quote(out, &redact(&exchange.target));
        out.extend_from_slice(match exchange.version {
            http::Version::HTTP_10 => b" HTTP/1.0\" ",
            http::Version::HTTP_2 => b" HTTP/2.0\" ",
            _ => b" HTTP/1.1\" ",
        });
        let _ = write!(out, "{} {} \"", exchange.status.as_str(), exchange.sent);
        quote(out, &redact_referer(exchange.referer.as_deref().unwrap_or("-")));
        out.extend_from_slice(b"\" \"");
        quote(out, exchange.user_agent.as_deref().unwrap_or("-"));
        out.extend_from_slice(b"\"\n");
    }

    fn set_time(&mut self, at: SystemTime) {
        const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = format_description!(
            "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        );
        let at = OffsetDateTime::from(at).to_offset(self.zone);
        if at.unix_timestamp() != self.second {
            self.second = at.unix_timestamp();
            self.time = at.format(FORMAT).unwrap_or_default();
        }
    }
}

/// Adds text that can end neither its quotes nor its line: `"` and `\` have a backslash before them, control
/// characters become `\x0a`.
fn quote(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut bytes = [0; 4];
    for c in text.chars() {
        let encoded = c.encode_utf8(&mut bytes).as_bytes();
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            c if c.is_control() => encoded.iter().for_each(|byte| drop(write!(out, "\\x{byte:02x}"))),
            _ => out.extend_from_slice(encoded),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    fn line(exchange: &Exchange, zone: UtcOffset) -> String {
        let mut out = Vec::new();
        Combined::new(zone).add(&mut out, exchange);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn is_the_combined_format() {
        let line = line(&samples::exchange("/a?b&token=x", 200), UtcOffset::from_hms(2, 0, 0).unwrap());
        let expected = "192.168.1.40 - - [04/May/2026:16:02:10 +0200] \"GET /a?b&token=[redacted] HTTP/1.1\" 200 4123 \
                        \"-\" \"Mozilla/5.0\"\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn nobody_forges_a_line() {
        let mut exchange = samples::exchange("/", 200);
        exchange.user_agent = Some("x\" 200 1\n10.0.0.1 - -\u{85}".into());
        let line = line(&exchange, UtcOffset::UTC);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(r#""x\" 200 1\x0a10.0.0.1 - -\xc2\x85""#));
    }

    /// As a log analyser reads it.
    fn unquote(text: &str) -> Option<String> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((byte, after)) = rest.split_first() {
            rest = match (byte, after) {
                (b'"', _) => return None,
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                    after
                }
                (b'\\', [escaped @ (b'"' | b'\\'), after @ ..]) => {
                    bytes.push(*escaped);
                    after
                }
                (b'\\', _) => return None,
                (byte, after) => {
                    bytes.push(*byte);
                    after
                }
            };
        }
        String::from_utf8(bytes).ok()
    }

    proptest! {
        #[test]
        fn escaping_round_trips(text in any::<String>()) {
            let mut out = Vec::new();
            quote(&mut out, &text);
            let quoted = String::from_utf8(out).unwrap();
            prop_assert!(!quoted.chars().any(char::is_control));
            prop_assert_eq!(unquote(&quoted), Some(text));
        }
    }
}
