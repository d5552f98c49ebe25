use std::fmt::Write;

use doorstep_http::path::canonical;

/// The bytes are a request's path as it was sent.
pub fn check(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    if !raw.starts_with('/') {
        return;
    }
    let Some(path) = canonical(raw) else { return };
    assert!(path.starts_with('/') && !path.contains("//"), "{raw:?} became {path:?}");
    assert!(!path.contains('\0'));
    assert!(path.split('/').all(|segment| segment != ".." && segment != "."), "{raw:?} became {path:?}");

    // However it is written, it is the same path.
    let escaped = path.bytes().fold(String::new(), |mut text, byte| {
        let _ = if byte == b'/' { write!(text, "/") } else { write!(text, "%{byte:02x}") };
        text
    });
    assert_eq!(canonical(&escaped).as_ref(), Some(&path), "{escaped}");
}
