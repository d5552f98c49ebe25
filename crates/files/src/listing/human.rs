//! Sizes and dates as people read them.

use std::fmt::Write;

use time::OffsetDateTime;

const UNITS: [&str; 7] = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Appends a size in decimal units with about three digits: `812 bytes`, `4.1 kB`, `120 MB`.
pub fn push_size(bytes: u64, out: &mut String) {
    if bytes < 1000 {
        let _ = write!(out, "{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
        return;
    }
    let exact = u128::from(bytes);
    let (mut unit, mut scale) = (1, 1000_u128);
    // Rounded to whole units, 999.5 kB would be "1000 kB".
    while exact * 2 >= scale * 1999 && unit + 1 < UNITS.len() {
        scale *= 1000;
        unit += 1;
    }
    let tenths = (exact * 10 + scale / 2) / scale;
    let _ = if tenths < 100 {
        write!(out, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        write!(out, "{} {}", (exact + scale / 2) / scale, UNITS[unit])
    };
}

/// [`push_size`] into a string of its own.
pub fn size(bytes: u64) -> String {
    let mut text = String::new();
    push_size(bytes, &mut text);
    text
}

/// Appends a whole number with commas between thousands: `1,234,567`.
pub fn push_grouped(number: u64, out: &mut String) {
    let digits = number.to_string();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
}

/// `1 file`, `1,234 files`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    let mut text = String::new();
    push_grouped(number, &mut text);
    text.push(' ');
    text.push_str(if number == 1 { one } else { many });
    text
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends a day of UTC: `23 Nov 2026`. A time that the calendar does not reach gives nothing.
pub fn push_day(unix: i64, out: &mut String) {
    if let Ok(when) = OffsetDateTime::from_unix_timestamp(unix) {
        let month = MONTHS[usize::from(u8::from(when.month())) - 1];
        let _ = write!(out, "{} {month} {}", when.day(), when.year());
    }
}

/// Appends `2026-11-23 14:02:11`, UTC, with `between` between day and time. Nothing where the calendar does not reach.
pub fn push_exact(unix: i64, between: char, out: &mut String) {
    if let Ok(when) = OffsetDateTime::from_unix_timestamp(unix) {
        let (hour, minute, second) = when.to_hms();
        let month = u8::from(when.month());
        let _ =
            write!(out, "{:04}-{month:02}-{:02}{between}{hour:02}:{minute:02}:{second:02}", when.year(), when.day());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_about_three_digits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (4_096, "4.1 kB"),
            (12_345, "12 kB"),
            (999_400, "999 kB"),
            (999_500, "1.0 MB"),
            (999_499_999, "999 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(counted(0, "file", "files"), "0 files");
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(1234, "file", "files"), "1,234 files");
        assert_eq!(counted(100_000, "file", "files"), "100,000 files");
    }

    #[test]
    fn times_are_in_utc() {
        let mut text = String::new();
        push_day(1_795_442_531, &mut text);
        text.push('|');
        push_exact(1_795_442_531, 'T', &mut text);
        assert_eq!(text, "23 Nov 2026|2026-11-23T14:02:11");
        let mut none = String::new();
        push_day(i64::MAX, &mut none);
        assert_eq!(none, "");
    }
}
