use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use crate::limits::MAX_REQUEST_ID;

/// What one request is called in logs, by the app, and by the client: 128 bits in hex, or whatever a trusted proxy in
/// front of us calls it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

/// The field that carries it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

thread_local! {
    /// Keys that no other thread or process has, and how many names were made of them.
    static NEXT: RefCell<(RandomState, u64)> = RefCell::new((RandomState::new(), 0));
}

impl RequestId {
    /// A new name. Different from all others, but not a secret.
    pub fn make() -> Self {
        let (high, low) = NEXT.with_borrow_mut(|(keys, count)| {
            let mut hasher = keys.build_hasher();
            hasher.write_u64(*count);
            *count += 1;
            let high = hasher.finish();
            hasher.write_u8(1);
            (high, hasher.finish())
        });
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = (u128::from(high) << 64) | u128::from(low);
        let text: Vec<u8> = (0..32).rev().map(|digit| DIGITS[(bits >> (4 * digit)) as usize & 15]).collect();
        Self(HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("-")))
    }

    /// The name that somebody else has given, if it is short and plain enough to stand in a log.
    pub fn given(value: &HeaderValue) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        let bytes = value.as_bytes();
        (!bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID && bytes.iter().all(plain)).then(|| Self(value.clone()))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_and_given() {
        let (one, other) = (RequestId::make(), RequestId::make());
        assert!(one != other && one.as_str().len() == 32, "{one:?}");
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(RequestId::given(&HeaderValue::from_static("Root=1-a:b")).unwrap().as_str(), "Root=1-a:b");
        for bad in ["", "a b", "a\"b", &"a".repeat(MAX_REQUEST_ID + 1)] {
            assert_eq!(RequestId::given(&HeaderValue::from_str(bad).unwrap()), None, "{bad}");
        }
    }
}
