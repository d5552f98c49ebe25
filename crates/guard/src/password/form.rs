use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::limits::MAX_RETURN_TO;

/// What the login form sends, as `application/x-www-form-urlencoded`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoginForm {
    pub user: String,
    pub password: String,
    /// Where to go after it: always a path of this site.
    pub return_to: String,
}

impl LoginForm {
    /// `None` if it has no password field, or is not text.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (mut user, mut password, mut return_to) = (String::new(), None, String::new());
        for pair in std::str::from_utf8(body).ok()?.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "user" => user = decode(value)?,
                "password" => password = Some(decode(value)?),
                "next" => return_to = decode(value)?,
                _ => {}
            }
        }
        Some(Self { user, password: password?, return_to: same_origin_path(&return_to).to_owned() })
    }
}

/// The target itself if a browser can only take it for a path of the same site, else `/`. Browsers read `//host` and
/// `/\host` as another site's address, and leave control characters out before they look.
pub(super) fn same_origin_path(target: &str) -> &str {
    let bytes = target.as_bytes();
    let rooted = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    let plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
    let ours = target.starts_with("/.doorstep/log");
    if rooted && plain && !ours && bytes.len() <= MAX_RETURN_TO { target } else { "/" }
}

fn decode(value: &str) -> Option<String> {
    let spaced: Cow<'_, str> =
        if value.contains('+') { Cow::Owned(value.replace('+', " ")) } else { Cow::Borrowed(value) };
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let form = LoginForm::parse("user=a+b&password=%C3%BC%2B%26+x&next=%2Fp%3Fq%3D1&more=1".as_bytes()).unwrap();
        assert_eq!((form.user.as_str(), form.password.as_str(), form.return_to.as_str()), ("a b", "ü+& x", "/p?q=1"));
    }

    #[test]
    fn what_is_no_login_form() {
        for body in [&b""[..], b"user=a", b"password=%ff", b"\xff", b"{\"password\":1}"] {
            assert_eq!(LoginForm::parse(body), None, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        for target in [
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "evil.example",
            "",
            "/a\r\nSet-Cookie: b=c",
            "/ü",
            "/.doorstep/logout",
        ] {
            assert_eq!(same_origin_path(target), "/", "{target:?}");
        }
        for target in ["/", "/a//b", "/a?b=//c&d=%0d", "/.//evil.example"] {
            assert_eq!(same_origin_path(target), target);
        }
        assert_eq!(same_origin_path(&format!("/{}", "a".repeat(MAX_RETURN_TO))), "/");
    }
}
