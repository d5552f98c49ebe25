//! Ranges of ports.

use std::ops::RangeInclusive;

/// Ports that a relay lends where nothing is said: above those of the usual services, below those that the system gives to
/// outgoing connections.
pub(crate) const DEFAULT: RangeInclusive<u16> = 20_000..=29_999;

/// `20000-29999`, `2022`, or `none`, which is an empty range.
pub(crate) fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    if text.trim() == "none" {
        return Ok(RangeInclusive::new(1, 0));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| "ports are numbers from 1 to 65535".to_owned());
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("the first is greater than the last; `{last}-{first}`?"));
    }
    if first < 1024 {
        return Err("ports below 1024 belong to the services that they are known for".to_owned());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("20000-20009"), Ok(20_000..=20_009));
        assert_eq!(range("2022"), Ok(2022..=2022));
        assert!(range("none").unwrap().is_empty());
        for (bad, word) in
            [("9-1", "1-9"), ("80-90", "1024"), ("1024-70000", "65535"), ("", "numbers"), ("a-b", "numbers")]
        {
            assert!(range(bad).unwrap_err().contains(word), "{bad}");
        }
    }
}
