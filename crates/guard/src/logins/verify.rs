use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::constant_time;
use doorstep_model::{LoginHash, Secret};
use sha1::{Digest, Sha1};

use crate::basic::decode_base64;

/// A password hash, told apart once.
pub(super) struct Verifier {
    /// `None` matches no password: the configuration would have said so.
    kind: Option<LoginHash>,
    hash: Secret<String>,
}

impl Verifier {
    pub(super) fn new(hash: &Secret<String>) -> Self {
        Self { kind: LoginHash::of(hash.reveal()).ok(), hash: hash.clone() }
    }

    /// Takes from microseconds to a second of processor time, by the hash's own settings.
    pub(super) fn matches(&self, password: &str) -> bool {
        let hash = self.hash.reveal();
        match self.kind {
            Some(LoginHash::Argon2) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
            // Passwords are cut after 72 bytes, as htpasswd does when it makes the hash.
            Some(LoginHash::Bcrypt) => bcrypt::verify(password, hash).unwrap_or(false),
            Some(LoginHash::Sha1) => hash.strip_prefix("{SHA}").and_then(decode_base64).is_some_and(|known| {
                constant_time::verify_slices_are_equal(&known, &Sha1::digest(password.as_bytes())).is_ok()
            }),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "s3cret", by argon2-cffi, libxcrypt and `htpasswd -s`.
    const ARGON2: &str =
        "$argon2id$v=19$m=64,t=1,p=1$2bw/xPjB/39oOCo9rpD0bA$1NnXcsIuO6ycqTogbOEEwSUg4ViTBCnGWcpUusQO9pY";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG";
    const SHA1: &str = "{SHA}/vNB+F2HQ559kaLUZbmHHvZrXpg=";

    fn matches(hash: &str, password: &str) -> bool {
        Verifier::new(&Secret::new(hash.to_owned())).matches(password)
    }

    #[test]
    fn hashes_that_other_programs_made() {
        for hash in [ARGON2, BCRYPT, SHA1] {
            assert!(LoginHash::of(hash).is_ok(), "{hash}");
            assert!(matches(hash, "s3cret"), "{hash}");
            assert!(!matches(hash, "s3cret ") && !matches(hash, ""), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_matches_nothing() {
        for hash in ["", "s3cret", "$apr1$x$y", "{SHA}", "$argon2id$", "$2y$"] {
            assert!(!matches(hash, "s3cret") && !matches(hash, ""), "{hash}");
        }
    }
}
