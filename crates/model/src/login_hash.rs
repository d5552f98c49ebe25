use crate::Secret;

/// How a password hash was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginHash {
    /// A PHC string: `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`.
    Argon2,
    /// `$2a$`, `$2b$` or `$2y$`, as `htpasswd -B` writes it.
    Bcrypt,
    /// `{SHA}` and the SHA-1 of the password in Base64: old htpasswd files. Fast to guess, so not for new passwords.
    Sha1,
}

/// Why a password hash cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginHashError {
    #[error("this is no password hash; a password itself does not belong into the file")]
    NotAHash,
    #[error("{0} hashes are too easy to guess; make a new one with `doorstep hash-password`")]
    Weak(&'static str),
    #[error("{0} hashes are not known here; make a new one with `doorstep hash-password`")]
    Unknown(&'static str),
    #[error("this {kind} hash is not whole: {what}")]
    Broken { kind: &'static str, what: &'static str },
}

/// Why a line of an htpasswd file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HtpasswdError {
    #[error("this line has no `:` between name and hash")]
    NoColon,
    #[error("this line has no user name")]
    NoName,
    #[error("the user {0:?} is there twice")]
    Twice(String),
    #[error(transparent)]
    Hash(#[from] LoginHashError),
}

/// The most that verifying one password may cost: a gigabyte of memory, and seconds of time.
const MAX_ARGON2_KIB: u32 = 1 << 20;
const MAX_ARGON2_PASSES: u32 = 64;
const MAX_ARGON2_LANES: u32 = 64;
const MAX_BCRYPT_COST: u32 = 16;

impl LoginHash {
    /// Tells the kind of a hash, and whether it is whole.
    ///
    /// # Errors
    /// What is wrong with it and what to do, in words for whoever wrote the file.
    pub fn of(hash: &str) -> Result<Self, LoginHashError> {
        if let Some(rest) = hash.strip_prefix("$argon2") {
            return check_argon2(rest).map(|()| Self::Argon2).map_err(|what| broken("argon2", what));
        }
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            return check_bcrypt(hash).map(|()| Self::Bcrypt).map_err(|what| broken("bcrypt", what));
        }
        if let Some(digest) = hash.strip_prefix("{SHA}") {
            let whole = digest.len() == 28 && digest.strip_suffix('=').is_some_and(is_base64);
            return if whole { Ok(Self::Sha1) } else { Err(broken("{SHA}", "it has 28 characters after {SHA}")) };
        }
        Err(unusable(hash))
    }
}

/// What an htpasswd file says.
#[derive(Clone, Debug, Default)]
pub struct Htpasswd {
    /// Names and hashes.
    pub users: Vec<(String, Secret<String>)>,
    /// What is wrong with which line, counted from 1.
    pub errors: Vec<(usize, HtpasswdError)>,
}

/// Reads an htpasswd file: `NAME:HASH` lines, blank ones and those that start with `#` left out.
pub fn read_htpasswd(text: &str) -> Htpasswd {
    let Htpasswd { mut users, mut errors } = Htpasswd::default();
    let lines = text.lines().map(|line| line.trim_matches([' ', '\t', '\u{feff}']));
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        match htpasswd_line(line) {
            Ok((name, _)) if users.iter().any(|(known, _): &(String, _)| known == name) => {
                errors.push((number + 1, HtpasswdError::Twice(name.to_owned())));
            }
            Ok((name, hash)) => users.push((name.to_owned(), Secret::new(hash.to_owned()))),
            Err(error) => errors.push((number + 1, error)),
        }
    }
    Htpasswd { users, errors }
}

fn htpasswd_line(line: &str) -> Result<(&str, &str), HtpasswdError> {
    let (name, hash) = line.split_once(':').ok_or(HtpasswdError::NoColon)?;
    if name.is_empty() {
        return Err(HtpasswdError::NoName);
    }
    LoginHash::of(hash)?;
    Ok((name, hash))
}

fn broken(kind: &'static str, what: &'static str) -> LoginHashError {
    LoginHashError::Broken { kind, what }
}

/// `rest` follows `$argon2`. The PHC string format: algorithm, version, parameters, salt, hash.
fn check_argon2(rest: &str) -> Result<(), &'static str> {
    let mut parts = rest.split('$');
    if !matches!(parts.next(), Some("id" | "i" | "d")) {
        return Err("it is argon2id, argon2i or argon2d");
    }
    let mut parameters = parts.next().unwrap_or_default();
    if let Some(version) = parameters.strip_prefix("v=") {
        if !matches!(version, "16" | "19") {
            return Err("its version is 19");
        }
        parameters = parts.next().unwrap_or_default();
    }
    let (mut memory, mut passes, mut lanes) = (None, None, None);
    for parameter in parameters.split(',') {
        let (name, value) = parameter.split_once('=').ok_or("its parameters are m=…,t=…,p=…")?;
        let value = value.parse::<u32>().ok();
        match name {
            "m" => memory = value,
            "t" => passes = value,
            "p" => lanes = value,
            _ => return Err("its parameters are m=…,t=…,p=…"),
        }
    }
    let (Some(memory), Some(passes), Some(lanes)) = (memory, passes, lanes) else {
        return Err("its parameters are m=…,t=…,p=…");
    };
    if !(1..=MAX_ARGON2_LANES).contains(&lanes) || memory < 8 * lanes || passes == 0 {
        return Err("m is at least 8 times p, and none is 0");
    }
    if memory > MAX_ARGON2_KIB || passes > MAX_ARGON2_PASSES {
        return Err("it costs more than a gigabyte of memory or 64 passes each time somebody logs in");
    }
    let (Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err("its salt or its hash is missing");
    };
    if !(11..=64).contains(&salt.len()) || !(14..=86).contains(&hash.len()) || !is_base64(salt) || !is_base64(hash) {
        return Err("its salt and its hash are Base64 without `=`");
    }
    Ok(())
}

fn check_bcrypt(hash: &str) -> Result<(), &'static str> {
    let digits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    match (hash.len(), hash.get(4..6), hash.get(6..7), hash.get(7..)) {
        (60, Some(cost), Some("$"), Some(rest)) if rest.as_bytes().iter().all(digits) => match cost.parse::<u32>() {
            Ok(4..=MAX_BCRYPT_COST) => Ok(()),
            Ok(_) => Err("its cost is from 4 to 16; more would take many seconds each time somebody logs in"),
            Err(_) => Err("its cost is a number of two digits"),
        },
        _ => Err("it has 60 characters"),
    }
}

fn unusable(hash: &str) -> LoginHashError {
    let starts = |prefix: &str| hash.starts_with(prefix);
    match hash {
        _ if starts("$apr1$") => LoginHashError::Weak("MD5 (`$apr1$`)"),
        _ if starts("$1$") => LoginHashError::Weak("MD5 (`$1$`)"),
        _ if starts("$2x$") => LoginHashError::Weak("`$2x$`"),
        _ if starts("{SSHA}") || starts("{MD5}") || starts("{SMD5}") => LoginHashError::Weak("LDAP"),
        _ if starts("$5$") || starts("$6$") => LoginHashError::Unknown("SHA-crypt"),
        _ if starts("$y$") || starts("$7$") || starts("$scrypt$") => LoginHashError::Unknown("scrypt and yescrypt"),
        _ if starts("$pbkdf2") => LoginHashError::Unknown("PBKDF2"),
        _ => LoginHashError::NotAHash,
    }
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGON2: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$qLml5cbqFAO6YxVHhrSBHP0UWdxrIxkNcM8aMX3blzU";
    const BCRYPT: &str = "$2y$12$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u";
    const SHA1: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

    #[test]
    fn kinds() {
        assert_eq!(LoginHash::of(ARGON2), Ok(LoginHash::Argon2));
        assert_eq!(LoginHash::of(BCRYPT), Ok(LoginHash::Bcrypt));
        assert_eq!(LoginHash::of(&BCRYPT.replace("$2y$", "$2b$")), Ok(LoginHash::Bcrypt));
        assert_eq!(LoginHash::of(SHA1), Ok(LoginHash::Sha1));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let words = |hash: &str| LoginHash::of(hash).unwrap_err().to_string();
        assert!(words("hunter2").contains("no password hash"));
        assert!(words("$apr1$x$y").contains("MD5 (`$apr1$`) hashes are too easy to guess"));
        assert!(words("$6$rounds=5000$x$y").contains("SHA-crypt"));
        assert!(words(&BCRYPT[..50]).contains("60 characters"));
        assert!(words(&BCRYPT.replace("$12$", "$31$")).contains("cost"));
        assert!(words(&BCRYPT.replace("L6Bc", "L6\u{fc}c")).contains("bcrypt"));
        assert!(words(&ARGON2.replace("m=19456", "m=99999999")).contains("gigabyte"));
        assert!(words(&ARGON2.replace("m=19456,", "")).contains("parameters"));
        assert!(words(ARGON2.rsplit_once('$').unwrap().0).contains("missing"));
        assert!(words("{SHA}W6ph5Mm5").contains("28 characters"));
    }

    #[test]
    fn a_file_is_read_whole_and_every_mistake_told() {
        let text = format!("# people\nann:{BCRYPT}\r\n\n bob:{SHA1}\ncarl\n:{SHA1}\nann:{SHA1}\ndora:$apr1$a$b\n");
        let Htpasswd { users, errors } = read_htpasswd(&text);
        assert_eq!(users.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
        assert_eq!(users[0].1.reveal(), BCRYPT);
        assert_eq!(errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert_eq!(errors[2].1, HtpasswdError::Twice("ann".to_owned()));
    }
}
