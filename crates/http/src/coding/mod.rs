//! Content codings and which of them a client takes (RFC 9110 section 12.5.3).

mod encoder;

use http::header::{self, HeaderMap};

pub use self::encoder::{Encoder, compress};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// Smallest result first: the order for siblings that somebody compressed ahead of time.
    pub const BY_SIZE: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];
    /// Least work first: the order for compressing on the way.
    pub const BY_WORK: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::BY_SIZE.into_iter().find(|coding| coding.name() == name)
    }

    /// What a compressed sibling's name ends with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// How much a client wants each coding, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted([u16; 3]);

impl Accepted {
    /// What `Accept-Encoding` says. Codings that the client wants less than none at all are left out.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut named: [Option<u16>; 3] = [None; 3];
        let (mut any, mut identity) = (None, None);
        let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for item in lines.flat_map(|line| line.split(',')) {
            let mut fields = item.split(';').map(str::trim);
            let coding = fields.next().unwrap_or_default();
            let Some(weight) = weight(fields) else { continue };
            let is = |name: &str| coding.eq_ignore_ascii_case(name);
            let slot = if let Some(known) = Coding::BY_SIZE.into_iter().find(|known| is(known.name())) {
                &mut named[known as usize]
            } else if is("x-gzip") {
                &mut named[Coding::Gzip as usize]
            } else if is("identity") {
                &mut identity
            } else if is("*") {
                &mut any
            } else {
                continue;
            };
            *slot = Some(weight);
        }
        let floor = identity.unwrap_or(0);
        Self(named.map(|weight| weight.or(any).filter(|weight| *weight >= floor).unwrap_or(0)))
    }

    pub fn is_none(self) -> bool {
        self.0 == [0; 3]
    }

    /// Of `own`, in order of our preference, the coding that the client wants most.
    pub fn best(self, own: &[Coding]) -> Option<Coding> {
        let weight = |coding: &Coding| self.0[*coding as usize];
        own.iter().rev().copied().filter(|coding| weight(coding) > 0).max_by_key(weight)
    }

    /// The codings that the client takes: what it wants most first, then in our own order.
    pub fn in_order(self, own: [Coding; 3]) -> impl Iterator<Item = Coding> {
        let mut order = own;
        order.sort_by_key(|coding| std::cmp::Reverse(self.0[*coding as usize]));
        order.into_iter().filter(move |coding| self.0[*coding as usize] > 0)
    }
}

/// The `q` among an item's parameters, 1000 where there is none; `None` where it is malformed.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    let Some(q) = parameters.find_map(|field| field.strip_prefix("q=").or_else(|| field.strip_prefix("Q="))) else {
        return Some(1000);
    };
    let (whole, part) = q.split_once('.').unwrap_or((q, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn order(value: &'static str) -> Vec<&'static str> {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]);
        Accepted::of(&headers).in_order(Coding::BY_SIZE).map(Coding::name).collect()
    }

    #[test]
    fn table() {
        for (value, expected) in [
            ("", &[][..]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"]),
            ("GZIP;q=1.0, br;q=0.5", &["gzip", "br"]),
            ("gzip;q=0, br", &["br"]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.2, gzip", &["gzip", "br", "zstd"]),
            ("br;q=0, *", &["zstd", "gzip"]),
            ("identity;q=1, *;q=0", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip", &["gzip"]),
            ("gzip;q=nonsense, br", &["br"]),
            ("gzip;q=2", &[]),
            ("gzip;q=0.1234", &[]),
            ("gzip ; q=0.5 , br;q=0.25", &["gzip", "br"]),
            ("deflate", &[]),
            ("gzipped", &[]),
        ] {
            assert_eq!(order(value), expected, "{value}");
        }
        assert!(Accepted::of(&HeaderMap::new()).is_none());
        let headers =
            HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br;q=0.9, zstd"))]);
        let accepted = Accepted::of(&headers);
        assert_eq!(accepted.best(&[Coding::Zstd, Coding::Gzip]), Some(Coding::Zstd));
        assert_eq!(accepted.best(&[Coding::Brotli, Coding::Gzip]), Some(Coding::Gzip));
        assert_eq!(accepted.best(&[]), None);
    }
}
