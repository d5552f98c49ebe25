//! Numbers as people read them.

use std::time::Duration;

/// `0 B`, `999 B`, `4.1 kB`, `52 MB`: at most 7 columns.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be written as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A short time, as requests take: `0.4 ms`, `12 ms`, `1.2 s`, `3 min`: at most 7 columns.
pub fn took(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_950.0 => format!("{:.1} s", ms / 1000.0),
        ms if ms < 99_500.0 => format!("{:.0} s", ms / 1000.0),
        ms if ms < 5_970_000.0 => format!("{:.0} min", ms / 60_000.0),
        ms => format!("{:.0} h", ms / 3_600_000.0),
    }
}

/// A long time in words: `12 seconds`, `1 hour 30 minutes`, `2 days`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let parts = match (days, hours, minutes) {
        (0, 0, 0) => vec![counted(seconds, "second")],
        (0, 0, m) => vec![counted(m, "minute"), counted(seconds % 60, "second")],
        (0, h, m) => vec![counted(h, "hour"), counted(m, "minute")],
        (d, h, _) => vec![counted(d, "day"), counted(h, "hour")],
    };
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_default();
    parts.filter(|part| !part.starts_with("0 ")).fold(first, |text, part| text + " " + &part)
}

/// `1 visitor`, `2 visitors`, `12,345 requests`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `12,345`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (4123, "4.1 kB"),
            (9_949, "9.9 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (5_000_000_000, "5.0 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times() {
        for (ms, text) in [
            (0.04, "0.0 ms"),
            (1.84, "1.8 ms"),
            (12.4, "12 ms"),
            (999.6, "1.0 s"),
            (12_000.0, "12 s"),
            (125_000.0, "2 min"),
            (7_200_000.0, "2 h"),
        ] {
            assert_eq!(took(Duration::from_secs_f64(ms / 1000.0)), text);
        }
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (61, "1 minute 1 second"),
            (120, "2 minutes"),
            (5400, "1 hour 30 minutes"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(counted(1_234_567, "request"), "1,234,567 requests");
    }
}
