use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// Words that make a query parameter a secret: `token`, `access_token`, `X-Amz-Signature`, `resetPasswordCode`.
const SECRETS: [&str; 26] = [
    "token",
    "tokens",
    "jwt",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "pin",
    "otp",
    "secret",
    "secrets",
    "key",
    "apikey",
    "code",
    "signature",
    "sig",
    "auth",
    "authorization",
    "credential",
    "credentials",
    "session",
    "sid",
    "sessionid",
    "ticket",
];

/// Ends of words that were not kept apart: `accesstoken`, `userpassword`.
const ENDS: [&str; 6] = ["token", "password", "secret", "apikey", "signature", "sessionid"];

/// A target, or an address with a query, in which the values of parameters that are named like secrets are left out.
pub(super) fn redact(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    if !query.split(['&', ';']).any(is_secret) {
        return Cow::Borrowed(target);
    }
    let mut text = String::with_capacity(target.len());
    text.push_str(path);
    text.push('?');
    for part in query.split_inclusive(['&', ';']) {
        let parameter = part.trim_end_matches(['&', ';']);
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(parameter) => {
                text.extend([name, "=", REDACTED, part.get(parameter.len()..).unwrap_or_default()]);
            }
            _ => text.push_str(part),
        }
    }
    Cow::Owned(text)
}

/// A `Referer`, redacted in the same way, and without a user name and password.
pub(super) fn redact_referer(referer: &str) -> Cow<'_, str> {
    let authority = referer.find("://").map(|at| at + 3);
    let user = authority.and_then(|from| {
        let rest = referer.get(from..)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        Some((from, from + rest.get(..end)?.rfind('@')? + 1))
    });
    match user {
        Some((from, to)) => {
            let (front, rest) = (referer.get(..from).unwrap_or_default(), referer.get(to..).unwrap_or_default());
            Cow::Owned(redact(&format!("{front}{rest}")).into_owned())
        }
        None => redact(referer),
    }
}

fn is_secret(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if !value.is_empty() => is_secret_name(name),
        _ => false,
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = percent_decode_str(name).decode_utf8_lossy();
    let (mut word, mut was_lower) = (String::new(), false);
    for c in name.chars().chain(std::iter::once('-')) {
        let boundary = !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && was_lower);
        if boundary {
            if SECRETS.contains(&word.as_str()) || ENDS.iter().any(|end| word.ends_with(end)) {
                return true;
            }
            word.clear();
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase();
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_left_out() {
        for (target, expected) in [
            ("/a?token=x", "/a?token=[redacted]"),
            ("/a?b=1&access_token=x&c=2", "/a?b=1&access_token=[redacted]&c=2"),
            ("/a?X-Amz-Signature=x;key=y", "/a?X-Amz-Signature=[redacted];key=[redacted]"),
            ("/a?resetPasswordCode=x=y", "/a?resetPasswordCode=[redacted]"),
            ("/a?%74oken=x", "/a?%74oken=[redacted]"),
            ("/a?user%5Bpassword%5D=x", "/a?user%5Bpassword%5D=[redacted]"),
            ("/a?ACCESSTOKEN=x&&", "/a?ACCESSTOKEN=[redacted]&&"),
            ("/a?sessionId=x?token=y", "/a?sessionId=[redacted]"),
        ] {
            assert_eq!(redact(target), expected);
        }
    }

    #[test]
    fn the_rest_stays() {
        for target in
            ["/token=x", "/a?q=token", "/a?keyword=x&monkey=y&decode=z", "/a?token", "/a?token=", "/a?", "-", "*"]
        {
            assert!(matches!(redact(target), Cow::Borrowed(same) if same == target), "{target}");
        }
    }

    #[test]
    fn referers_name_nobody() {
        assert_eq!(redact_referer("https://ann:pw@a.example/x?code=1"), "https://a.example/x?code=[redacted]");
        assert_eq!(redact_referer("https://a.example/@x?y=a@b"), "https://a.example/@x?y=a@b");
        assert_eq!(redact_referer("ann@x"), "ann@x");
    }

    proptest! {
        #[test]
        fn no_value_gets_through(
            before in "(x=[0-9a-z%]{0,6}[&;]){0,3}", name in "(token|apiKey|x-secret|Passwd)", after in "([&;][a-z]{0,5}=?){0,3}",
        ) {
            let target = format!("/p?{before}{name}=hunter2{after}");
            let redacted = redact(&target).into_owned();
            prop_assert_eq!(redacted.replace(REDACTED, "hunter2"), target);
            prop_assert!(!redacted.contains("hunter2"));
        }

        #[test]
        fn anything_is_taken(target in "\\PC{0,60}") {
            let once = redact_referer(&target).into_owned();
            prop_assert_eq!(redact_referer(&once).into_owned(), once.clone());
        }
    }
}
