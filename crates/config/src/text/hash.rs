//! Hashes of passwords, by their form; nothing is computed here.

use doorstep_model::{LoginHash, read_htpasswd};

/// Whether `text` is a hash that logins can be verified by. The error never repeats it: it may be the password itself.
pub(crate) fn check(text: &str) -> Result<(), String> {
    LoginHash::of(text).map(|_| ()).map_err(|error| error.to_string())
}

/// Lines `user:hash` of an htpasswd file; empty ones and comments are skipped.
///
/// # Errors
/// The line's number, and what is wrong with it.
pub(crate) fn htpasswd(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let file = read_htpasswd(text);
    match file.errors.into_iter().next() {
        Some((line, error)) => Err((line, error.to_string())),
        None => Ok(file.users.into_iter().map(|(user, hash)| (user, hash.reveal().clone())).collect()),
    }
}
