//! The `Range` header (RFC 9110 section 14.2).

use std::ops::Range;

use crate::limits::MAX_RANGES;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: the header is malformed, of another unit, or asks for more parts than anybody needs.
    Whole,
    /// Byte ranges, none empty, no two overlapping or touching, at least one.
    Parts(Vec<Range<u64>>),
    /// Nothing of what was asked for exists: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for a representation of `length` bytes.
///
/// Ranges that overlap or touch are joined, so that never more bytes are sent than there are; otherwise they stay in
/// the order that was asked for.
pub fn select(value: &str, length: u64) -> Selection {
    let Some((unit, list)) = value.split_once('=') else { return Selection::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        asked += 1;
        if asked > MAX_RANGES {
            return Selection::Whole;
        }
        match parse(spec, length) {
            Some(range) if range.is_empty() => {}
            Some(range) => parts.push(range),
            None => return Selection::Whole,
        }
    }
    match (asked, parts.is_empty()) {
        (0, _) => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        (_, false) => Selection::Parts(joined(parts)),
    }
}

/// One of `a-b`, `a-` and `-n`. `None` where malformed, empty where it lies beyond the end.
fn parse(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(length.saturating_sub(suffix)..length);
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(length);
    Some(first.min(end)..end)
}

/// Digits only; more than fit count as the most that fits.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn joined(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for part in sorted {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    if joined.len() == parts.len() { parts } else { joined }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table() {
        use Selection::{Unsatisfiable, Whole};
        let parts = |list: &[(u64, u64)]| Selection::Parts(list.iter().map(|(start, end)| *start..*end).collect());
        for (value, expected) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=2-4", parts(&[(2, 5)])),
            ("Bytes=2-4", parts(&[(2, 5)])),
            ("bytes=5-", parts(&[(5, 10)])),
            ("bytes=-3", parts(&[(7, 10)])),
            ("bytes=-99", parts(&[(0, 10)])),
            ("bytes=8-99", parts(&[(8, 10)])),
            ("bytes=8-99999999999999999999999", parts(&[(8, 10)])),
            ("bytes=0-1, 4-5", parts(&[(0, 2), (4, 6)])),
            ("bytes=7-8,0-1", parts(&[(7, 9), (0, 2)])),
            ("bytes=0-4,2-6", parts(&[(0, 7)])),
            ("bytes=0-1,2-3", parts(&[(0, 4)])),
            ("bytes=0-,0-,0-,0-", parts(&[(0, 10)])),
            ("bytes=0-1,50-", parts(&[(0, 2)])),
            ("bytes=10-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=4-2", Whole),
            ("bytes=", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=0-1,x", Whole),
            ("lines=0-1", Whole),
            ("bytes 0-1", Whole),
        ] {
            assert_eq!(select(value, 10), expected, "{value}");
        }
        assert_eq!(select("bytes=0-", 0), Unsatisfiable);
        assert_eq!(select("bytes=0-18446744073709551615", 3), parts(&[(0, 3)]));
        let many = format!("bytes={}", vec!["0-0,2-2"; MAX_RANGES].join(","));
        assert_eq!(select(&many, 10), Whole);
    }

    proptest! {
        #[test]
        fn parts_are_inside_and_apart(value in "bytes=[0-9, -]{0,40}", length in 0u64..200) {
            if let Selection::Parts(parts) = select(&value, length) {
                let mut sorted = parts.clone();
                sorted.sort_by_key(|part| part.start);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }

        #[test]
        fn anything_is_answered(value in "\\PC{0,60}", length in any::<u64>()) {
            select(&value, length);
        }
    }
}
