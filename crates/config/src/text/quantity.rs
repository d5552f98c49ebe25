//! Durations, sizes and rates.

use std::time::Duration;

use doorstep_model::RequestRate;

const MAX_SECONDS: f64 = 10.0 * 365.25 * 86_400.0;

/// `500ms`, `5s`, `2m`, `1h30m`, `7d`, `4w`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err("a duration is missing".to_owned());
    }
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest).ok_or("it must be a number with a unit")?;
        let unit = match unit {
            "ms" => 0.001,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 7.0 * 86_400.0,
            "" => return Err("the unit is missing: ms, s, m, h, d or w".to_owned()),
            other => return Err(format!("`{other}` is not a unit of time; there are ms, s, m, h, d and w")),
        };
        seconds += number * unit;
        rest = after;
    }
    if seconds > MAX_SECONDS {
        return Err("it is longer than 10 years".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "it is too long".to_owned())
}

/// Bytes: `500kB`, `10MB`, `1.5GiB`. Powers of 1000, with an `i` of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit, rest) = number_and_unit(text.trim()).ok_or("it must be a number with a unit")?;
    if !rest.is_empty() {
        return Err("it must be one number with one unit".to_owned());
    }
    if unit.is_empty() {
        return Err("the unit is missing: B, kB, MB, GB, TB, KiB, MiB, GiB or TiB".to_owned());
    }
    let prefix = unit
        .strip_suffix('B')
        .ok_or_else(|| format!("`{unit}` is not a unit of size; there are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB"))?;
    whole(number * power(prefix).ok_or_else(|| format!("`{unit}` is not a unit of size"))?)
}

/// Bytes per second: `2MB/s`, or in bits: `16Mbit/s`. At least one.
pub(crate) fn bandwidth(text: &str) -> Result<u64, String> {
    let per_second = text.trim().strip_suffix("/s").ok_or("it must end in `/s`")?;
    let rate = match per_second.strip_suffix("bit") {
        None => size(per_second)?,
        Some(bits) => {
            let (number, prefix, rest) = number_and_unit(bits).ok_or("it must be a number with a unit")?;
            if !rest.is_empty() {
                return Err("it must be one number with one unit".to_owned());
            }
            whole(number * power(prefix).ok_or("there are bit, kbit, Mbit and Gbit")? / 8.0)?
        }
    };
    if rate == 0 { Err("it must be at least one byte per second".to_owned()) } else { Ok(rate) }
}

/// `100/s`, `30/m`, `1000/h`; a burst of as many as come in one second, at least 1.
pub(crate) fn request_rate(text: &str) -> Result<RequestRate, String> {
    let (number, unit) = text.trim().split_once('/').ok_or("it must be a number, `/` and a unit of time")?;
    let requests: u32 =
        number.trim().parse().map_err(|_| "it must begin with a whole number of requests".to_owned())?;
    if requests == 0 {
        return Err("a rate of 0 lets nobody in; `deny = \"0.0.0.0/0\"` or `maintenance` say that better".to_owned());
    }
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1,
        "m" | "min" | "minute" => 60,
        "h" | "hour" => 3600,
        "d" | "day" => 86_400,
        other => return Err(format!("`{other}` is not a unit of time; there are s, m, h and d")),
    };
    let burst = (requests / seconds).max(1);
    Ok(RequestRate { requests, per: Duration::from_secs(u64::from(seconds)), burst })
}

/// Hundredths of a core: `50%`, `200%`.
pub(crate) fn percent(text: &str) -> Result<u32, String> {
    let number = text.trim().strip_suffix('%').ok_or("it must end in `%`; 100% is one core")?;
    match number.trim().parse() {
        Ok(0) | Err(_) => Err("it must be a whole number of percent, at least 1%".to_owned()),
        Ok(percent) => Ok(percent),
    }
}

fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    let rest = text[end..].trim_start();
    let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    Some((number, &rest[..end], rest[end..].trim_start()))
}

fn power(prefix: &str) -> Option<f64> {
    Some(match prefix {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" | "ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    })
}

/// Sizes beyond an exabyte are slips of the keyboard.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above, never negative")]
fn whole(bytes: f64) -> Result<u64, String> {
    if bytes.is_finite() && bytes < 1e18 { Ok(bytes as u64) } else { Err("it is larger than anything".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "5", "s", "5 parsecs", "-1s", "1e3s", "11w 1000000d", "5s!", "1..2s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        for bad in ["10", "10M", "MB", "1 2MB", "9999999999TB", "10Mb"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(bandwidth("2MB/s"), Ok(2_000_000));
        assert_eq!(bandwidth("16Mbit/s"), Ok(2_000_000));
        assert_eq!(request_rate("30/m").map(|rate| (rate.requests, rate.per.as_secs(), rate.burst)), Ok((30, 60, 1)));
        assert_eq!(request_rate("100/s").map(|rate| rate.burst), Ok(100));
        assert_eq!(percent("150%"), Ok(150));
        for bad in ["2MB", "0B/s", "1bit/s", "MB/s"] {
            assert!(bandwidth(bad).is_err(), "{bad}");
        }
        for bad in ["0/s", "x/s", "5", "5/fortnight", "-1/s"] {
            assert!(request_rate(bad).is_err(), "{bad}");
        }
    }
}
