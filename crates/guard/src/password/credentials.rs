use aws_lc_rs::{constant_time, hmac};
use doorstep_model::Password;

use crate::digest::{digest, random_key};

/// The user name and password to be known, kept as a keyed digest of both.
///
/// Comparing digests of equal length takes the same time for every guess, and a digest under a random key says
/// nothing about the password.
pub(super) struct Credentials {
    key: hmac::Key,
    digest: hmac::Tag,
    asks_user: bool,
}

impl Credentials {
    pub(super) fn new(password: &Password) -> Self {
        let key = random_key();
        let digest = digest(&key, &password.user, password.password.reveal());
        Self { key, digest, asks_user: !password.user.is_empty() }
    }

    pub(super) fn matches(&self, user: &str, password: &str) -> bool {
        // Where no user name was set, whatever a program or password manager puts there is ignored.
        let user = if self.asks_user { user } else { "" };
        let guess = digest(&self.key, user, password);
        constant_time::verify_slices_are_equal(guess.as_ref(), self.digest.as_ref()).is_ok()
    }

    /// Whether there is a user name to ask for besides the password.
    pub(super) fn asks_user(&self) -> bool {
        self.asks_user
    }
}

#[cfg(test)]
mod tests {
    use doorstep_model::Secret;

    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials::new(&Password { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }

    #[test]
    fn both_must_be_right() {
        let known = credentials("ann", "s3cret");
        assert!(known.matches("ann", "s3cret"));
        for (user, password) in [("ann", "s3cret "), ("ann", ""), ("", "s3cret"), ("anns", "3cret"), ("Ann", "s3cret")]
        {
            assert!(!known.matches(user, password), "{user}:{password}");
        }
    }

    #[test]
    fn without_a_user_name_only_the_password_counts() {
        let known = credentials("", "s3cret");
        assert!(known.matches("", "s3cret") && known.matches("whoever", "s3cret"));
        assert!(!known.matches("s3cret", ""));
    }
}
