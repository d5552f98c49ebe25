//! Sizes, rates, durations, ports and networks as people write them.

use std::net::IpAddr;
use std::time::Duration;

use doorstep_model::{Hostname, Password, Secret, Via};
use ipnet::IpNet;

/// Bytes: `500`, `500kB`, `2.5 GB`, `1GiB`. `k`, `M`, `G`, `T` are powers of 1000, with an `i` of 1024.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text).ok_or("write a size such as 500kB, 20MB or 2GiB")?;
    let bytes = number
        * byte_unit(unit).ok_or_else(|| format!("{unit:?} is not a unit of size; use kB, MB, GB or KiB, MiB, GiB"))?;
    whole(bytes).ok_or_else(|| "that is not a size a computer could have".to_owned())
}

/// Bytes per second: `2MB/s`, `500k`, or in bits: `16Mbit/s`.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn rate(text: &str) -> Result<u64, String> {
    let example = "write a rate such as 2MB/s, 500kB/s or 16Mbit/s";
    let (number, unit) = number_and_unit(text).ok_or(example)?;
    let unit = unit.strip_suffix("/s").or_else(|| unit.strip_suffix("ps")).unwrap_or(unit).trim_end();
    let per_second = match unit.strip_suffix("bit") {
        Some(prefix) => number * byte_unit(prefix).ok_or(example)? / 8.0,
        None if matches!(unit, "kb" | "Mb" | "Gb" | "b") => {
            return Err(format!(
                "{unit:?} could be bits or bytes: write {0}B/s for bytes or {0}bit/s for bits",
                &unit[..unit.len() - 1]
            ));
        }
        None => number * byte_unit(unit).ok_or(example)?,
    };
    match whole(per_second) {
        Some(0) | None => Err("the rate must be at least one byte per second".to_owned()),
        Some(rate) => Ok(rate),
    }
}

/// A duration: `45s`, `90m`, `2h`, `1h30m`, `1.5 days`.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXAMPLE: &str = "write a duration such as 45s, 30m, 2h, 1h30m or 1d";
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(EXAMPLE.to_owned());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| EXAMPLE.to_owned())?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "" => return Err(format!("{text:?} has no unit: {EXAMPLE}")),
            other => return Err(format!("{other:?} is not a unit of time: {EXAMPLE}")),
        };
        seconds += number * unit;
        rest = rest[end..].trim_start();
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration >= Duration::from_secs(1) && seconds <= MAX_SECONDS => Ok(duration),
        _ => Err("a duration lies between one second and 10 years".to_owned()),
    }
}

const MAX_SECONDS: f64 = 10.0 * 365.25 * 86_400.0;

/// A TCP port to listen on; 0 stands for any that is free.
///
/// # Errors
/// A sentence that names the range.
pub fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u64>() {
        Ok(number) => u16::try_from(number).map_err(|_| format!("{number} is not a port: ports go from 1 to 65535")),
        Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

/// A network, `192.168.1.0/24` or `fd00::/8`, or a single address.
///
/// # Errors
/// A sentence that shows how to write it.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| "write a network such as 192.168.1.0/24, or a single address".to_owned())
}

/// A host name that visitors may use; `*` stands for every name.
///
/// # Errors
/// What is wrong with the name.
pub fn host(text: &str) -> Result<AcceptedHost, String> {
    if text == "*" {
        return Ok(AcceptedHost::Any);
    }
    match text.parse::<Hostname>() {
        Ok(name) => Ok(AcceptedHost::Name(name)),
        Err(_) if text.contains("://") || text.contains('/') => {
            Err("write the name alone, such as files.example.com".to_owned())
        }
        Err(_) if text.contains(':') => Err("write the name without a port, such as files.example.com".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A relay, an ssh server or a kite.
///
/// # Errors
/// What is wrong with it, and what was probably meant.
pub fn via(text: &str) -> Result<Via, String> {
    text.parse::<Via>().map_err(|error| match error.meant {
        Some(meant) => format!("{}; did you mean {meant}?", error.why),
        None => error.why,
    })
}

/// A name that is lent: the first label of one beneath a relay's domain, or a whole name.
///
/// # Errors
/// What is wrong with the name.
pub fn lent_name(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains('/') {
        return Err("write the name alone, such as blog or blog.example.com".to_owned());
    }
    match text.parse::<Hostname>() {
        Ok(name) if name.as_str().contains('_') => Err("names on the internet have no `_`; write `-`".to_owned()),
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// A value of `--host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptedHost {
    Any,
    Name(Hostname),
}

/// `USER:PASS`, cut at the first colon as HTTP does (RFC 7617 section 2).
pub fn credentials(text: &str) -> Option<Password> {
    let (user, password) = text.split_once(':')?;
    let usable = |part: &str| !part.is_empty() && !part.chars().any(char::is_control);
    (usable(user) && usable(password))
        .then(|| Password { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

fn byte_unit(unit: &str) -> Option<f64> {
    let prefix = unit.strip_suffix(['B', 'b']).unwrap_or(unit);
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1024_f64),
        _ => (prefix, 1000_f64),
    };
    let power = match letter {
        "" => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return None,
    };
    Some(base.powi(power))
}

fn whole(number: f64) -> Option<u64> {
    // Beyond 2^53 an f64 no longer counts in ones; no disk is that large.
    (number.is_finite() && number <= 9_007_199_254_740_992.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("500kB", 500_000),
            ("500 KB", 500_000),
            ("2.5GB", 2_500_000_000),
            ("2g", 2_000_000_000),
            ("1KiB", 1024),
            ("1 GiB", 1 << 30),
            ("3Ti", 3 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "-1", "1.2.3", "5 bananas", "i", "1i", "1e9", "99999999999999TB", "NaN", "inf"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(size("5XB").unwrap_err().contains("\"XB\" is not a unit"));
    }

    #[test]
    fn rates() {
        for (text, per_second) in [
            ("2MB/s", 2_000_000),
            ("500k", 500_000),
            ("16Mbit/s", 2_000_000),
            ("8kbit", 1000),
            ("1 MiB/s", 1 << 20),
            ("1MBps", 1_000_000),
        ] {
            assert_eq!(rate(text), Ok(per_second), "{text}");
        }
        for bad in ["", "0", "0.5", "fast", "2MB/h", "-5MB/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        assert_eq!(
            rate("2Mb/s").unwrap_err(),
            "\"Mb\" could be bits or bytes: write MB/s for bytes or Mbit/s for bits"
        );
    }

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("45s", 45),
            ("90m", 5400),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h 30min", 5400),
            ("1d", 86_400),
            ("1.5 hours", 5400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "soon", "-1h", "0s", "100000d", "1h-", "..s", "2w3"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("90").unwrap_err().starts_with("\"90\" has no unit"));
    }

    #[test]
    fn ports() {
        assert_eq!(port("0"), Ok(0));
        assert_eq!(port("65535"), Ok(65535));
        assert_eq!(port("70000").unwrap_err(), "70000 is not a port: ports go from 1 to 65535");
        for bad in ["", "-1", "http", "80.5"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_and_hosts() {
        assert_eq!(network("192.168.1.77/24").unwrap().to_string(), "192.168.1.0/24");
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(network("fd00::1").unwrap().to_string(), "fd00::1/128");
        assert!(network("192.168.1.0/33").is_err());
        assert!(network("home").is_err());
        assert_eq!(host("*"), Ok(AcceptedHost::Any));
        assert!(host("Files.Example.com").is_ok());
        assert!(host("files.example.com:80").unwrap_err().contains("without a port"));
        assert!(host("https://files.example.com").unwrap_err().contains("the name alone"));
    }

    #[test]
    fn relays_and_names() {
        assert_eq!(via("ssh://vps").unwrap().to_string(), "ssh://vps");
        assert!(via("https://tun.example.com").unwrap_err().ends_with("did you mean tun.example.com?"));
        assert_eq!(lent_name("Blog"), Ok("blog".to_owned()));
        assert_eq!(lent_name("blog.example.com"), Ok("blog.example.com".to_owned()));
        for bad in ["https://blog", "my_blog", "-a", ""] {
            assert!(lent_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_cut_at_the_first_colon() {
        let both = credentials("ada:a:b").unwrap();
        assert_eq!((both.user.as_str(), both.password.reveal().as_str()), ("ada", "a:b"));
        for bad in ["ada", ":x", "ada:", "a\n:b"] {
            assert!(credentials(bad).is_none(), "{bad}");
        }
    }
}
