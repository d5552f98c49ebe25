use aws_lc_rs::{hmac, rand};

/// A key that lives as long as this run.
///
/// # Panics
/// If the system gives no random bytes.
pub(crate) fn random_key() -> hmac::Key {
    hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).expect("the system gives random bytes")
}

/// Stands for a user name and password where they are compared and remembered. Without the key it says nothing of them.
pub(crate) fn digest(key: &hmac::Key, user: &str, password: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    // The length keeps "ab" + "c" apart from "a" + "bc".
    context.update(&(user.len() as u64).to_be_bytes());
    context.update(user.as_bytes());
    context.update(password.as_bytes());
    context.sign()
}
