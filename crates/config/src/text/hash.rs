//! Hashes of passwords, by their form; nothing is computed here.

use std::sync::LazyLock;

use regex::Regex;

static ARGON2: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=[0-9]{1,10},t=[0-9]{1,10},p=[0-9]{1,8}\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{16,128}$",
    )
    .ok()
});
static BCRYPT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\$2[abxy]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$").ok());
static SHA1: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\{SHA\}[A-Za-z0-9+/]{27}=$").ok());

/// Whether `text` is an argon2, bcrypt or `{SHA}` hash. The error never repeats it: it may be the password itself.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let is = |form: &LazyLock<Option<Regex>>| form.as_ref().is_some_and(|form| form.is_match(text));
    if is(&ARGON2) || is(&BCRYPT) || is(&SHA1) {
        return Ok(());
    }
    Err(if text.starts_with("$argon2") || text.starts_with("$2") || text.starts_with("{SHA}") {
        "the hash is cut off or has something added".to_owned()
    } else if text.starts_with("$apr1$")
        || text.starts_with("$1$")
        || text.starts_with("$5$")
        || text.starts_with("$6$")
    {
        "this kind of hash is not supported: argon2, bcrypt and `{SHA}` are".to_owned()
    } else {
        "this is not the hash of a password; a password itself does not belong into the file".to_owned()
    })
}

/// Lines `user:hash` of an htpasswd file; empty ones and comments are skipped.
///
/// # Errors
/// The line's number, and what is wrong with it.
pub(crate) fn htpasswd(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut users: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or((number + 1, "there is no `:`".to_owned()))?;
        check(hash).map_err(|why| (number + 1, why))?;
        if users.iter().any(|(known, _)| known == user) {
            return Err((number + 1, format!("the user `{user}` was there before")));
        }
        users.push((user.to_owned(), hash.to_owned()));
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in [
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$rVqbYPWwGXVQ9Cnvq3Nsrm6AmMvyBVbJxnCBhTYeAEM",
            "$2y$10$abcdefghijklmnopqrstuuJ1qGLwQz9V9Zy3y4m5rT6o7p8q9r0su",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["hunter2", "$2y$10$short", "$apr1$x$y", "$argon2id$v=19$m=1,t=1,p=1$", ""] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(!check("hunter2").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn htpasswd_lines() {
        let hash = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
        assert_eq!(htpasswd(&format!("# x\n\na:{hash}\n")).map(|users| users.len()), Ok(1));
        assert_eq!(htpasswd(&format!("a:{hash}\na:{hash}\n")).unwrap_err().0, 2);
        assert_eq!(htpasswd("nonsense").unwrap_err().0, 1);
    }
}
