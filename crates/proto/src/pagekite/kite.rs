use std::fmt;

use super::limits::MAX_DOMAIN;

/// A name that a back-end flies at a front-end: a protocol, perhaps with a port (`raw-22`), and a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kite {
    protocol: String,
    port: Option<u16>,
    domain: String,
}

/// Why something names no kite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KiteError {
    #[error("a kite's protocol is a word like http, https, websocket, raw, perhaps with a port (raw-22)")]
    Protocol,
    #[error("a kite's domain is a name like kite.example.net")]
    Domain,
}

impl Kite {
    /// `protocol` as on the wire: `http`, `raw-22`. The domain is made lower-case.
    ///
    /// # Errors
    /// [`KiteError`] where either could not be told from the rest of a line on the wire.
    pub fn new(protocol: &str, domain: &str) -> Result<Self, KiteError> {
        let (word, port) = match protocol.split_once('-') {
            Some((word, port)) => (word, Some(parse_port(port).ok_or(KiteError::Protocol)?)),
            None => (protocol, None),
        };
        let word_is_fine = (1..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if !word_is_fine {
            return Err(KiteError::Protocol);
        }
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let domain_is_fine = (1..=MAX_DOMAIN).contains(&domain.len())
            && domain.bytes().all(fine)
            && domain.split('.').all(|label| !label.is_empty());
        if !domain_is_fine {
            return Err(KiteError::Domain);
        }
        Ok(Self { protocol: word.to_ascii_lowercase(), port, domain: domain.to_ascii_lowercase() })
    }

    /// Without its port: `raw`.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// How good this kite is for a stream of `protocol` to `domain` on `port`; `None` if it is not for it at all.
    /// A kite with a port goes before one without, and a kite of the protocol itself before an `http` kite that
    /// carries a websocket.
    pub fn fits(&self, protocol: &str, domain: &str, port: u16) -> Option<u8> {
        if self.domain != domain || self.port.is_some_and(|own| own != port) {
            return None;
        }
        let same = self.protocol == protocol;
        if !same && (self.protocol.as_str(), protocol) != ("http", "websocket") {
            return None;
        }
        Some(2 * u8::from(same) + u8::from(self.port.is_some()))
    }
}

/// As on the wire: `raw-22:kite.example.net`.
impl fmt::Display for Kite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}-{port}:{}", self.protocol, self.domain),
            None => write!(f, "{}:{}", self.protocol, self.domain),
        }
    }
}

/// Digits only, without zeros in front.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["http:kite.example.net", "raw-22:a.b", "websocket:x", "https:under_score.example"] {
            let (protocol, domain) = text.split_once(':').unwrap();
            assert_eq!(Kite::new(protocol, domain).unwrap().to_string(), text);
        }
        assert_eq!(Kite::new("HTTP", "Kite.Example").unwrap().to_string(), "http:kite.example");
        for (protocol, domain) in [("", "a"), ("raw-", "a"), ("raw-022", "a"), ("raw-99999", "a"), ("a:b", "a")] {
            assert_eq!(Kite::new(protocol, domain), Err(KiteError::Protocol), "{protocol}");
        }
        for domain in ["", "a:b", "a\r\nX: y", "a b", "a..b", ".a", "a."] {
            assert_eq!(Kite::new("http", domain), Err(KiteError::Domain), "{domain:?}");
        }
    }

    #[test]
    fn the_nearest_kite_fits_best() {
        let kite = |protocol| Kite::new(protocol, "a.b").unwrap();
        assert!(kite("raw-22").fits("raw", "a.b", 22) > kite("raw").fits("raw", "a.b", 22));
        assert_eq!(kite("raw-22").fits("raw", "a.b", 23), None);
        assert!(kite("websocket").fits("websocket", "a.b", 80) > kite("http-80").fits("websocket", "a.b", 80));
        assert!(kite("http").fits("websocket", "a.b", 80).is_some());
        assert_eq!(kite("websocket").fits("http", "a.b", 80), None);
        assert_eq!(kite("http").fits("http", "c.d", 80), None);
    }
}
