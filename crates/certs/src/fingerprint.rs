use std::fmt::Write as _;

use aws_lc_rs::digest;

/// The SHA-256 fingerprint of a certificate as browsers and openssl show it: `AB:CD:…`, over the whole certificate in
/// DER. It changes when the certificate is renewed; the key behind it does not.
pub fn fingerprint(certificate: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, certificate);
    let mut text = String::new();
    for byte in digest.as_ref() {
        let separator = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{separator}{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_openssl_writes_it() {
        // SHA-256 of the empty string.
        assert_eq!(
            fingerprint(b""),
            "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55"
        );
    }
}
