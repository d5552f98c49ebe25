use super::origin::Origins;

/// A `Set-Cookie` value (RFC 6265 section 4.1) as a visitor's browser can keep it.
pub struct TranslatedCookie {
    pub value: String,
    /// Whether its `Secure` mark was taken off.
    pub insecure: bool,
}

/// Translates a cookie for a visitor of another address than the app's; `None` if it is right as it is.
///
/// A `Domain` that covers the app's host is dropped: the cookie then belongs to the host that the visitor uses.
/// `Secure` is dropped where the visitor uses plain HTTP, since browsers would drop the cookie: at the app's own
/// address they keep it, `localhost` being secure enough for them.
pub fn translate(cookie: &str, origins: &Origins, visitor_tls: bool) -> Option<TranslatedCookie> {
    let mut parts = cookie.split(';');
    let pair = parts.next()?;
    // Browsers hold cookies of such names to their attributes (RFC 6265bis section 4.1.3).
    let name = pair.trim_start().to_ascii_lowercase();
    let bound = name.starts_with("__secure-") || name.starts_with("__host-");
    let strip_secure = !visitor_tls
        && !bound
        && cookie.split(';').skip(1).any(|attribute| attribute.trim().eq_ignore_ascii_case("secure"));
    let mut value = pair.to_owned();
    for attribute in parts {
        let (key, given) = attribute.split_once('=').map_or((attribute, ""), |(key, given)| (key, given));
        let (key, given) = (key.trim().to_ascii_lowercase(), given.trim());
        match key.as_str() {
            "domain" if covers_own_host(given, origins) => {}
            "secure" | "partitioned" if strip_secure => {}
            "samesite" if strip_secure && given.eq_ignore_ascii_case("none") => {}
            "path" => {
                let path = origins.without_base(given);
                value.push_str("; Path=");
                value.push_str(if path.is_empty() { "/" } else { path });
            }
            _ => {
                value.push(';');
                value.push_str(attribute);
            }
        }
    }
    (value != cookie).then_some(TranslatedCookie { value, insecure: strip_secure })
}

fn covers_own_host(domain: &str, origins: &Origins) -> bool {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    !domain.is_empty()
        && origins.hosts().any(|host| {
            host.strip_suffix(domain.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::super::origin::tests::upstream;
    use super::*;

    #[test]
    fn table() {
        let local = Origins::new(&upstream("http://localhost:8000/app"));
        let remote = Origins::new(&upstream("https://www.example.com"));
        let table = [
            (&local, "a=1", false, None),
            (&local, "a=1; Path=/; HttpOnly", false, None),
            (&local, "a=1; Domain=localhost; Path=/app", false, Some("a=1; Path=/")),
            (&local, "a=1; Domain=127.0.0.1; Path=/app/x", false, Some("a=1; Path=/x")),
            (&local, "a=1; Secure; SameSite=None; HttpOnly", false, Some("a=1; HttpOnly")),
            (&local, "a=1; Secure; SameSite=None", true, None),
            (&local, "__Host-a=1; Secure; Path=/", false, None),
            (&local, "a=1; Domain=other.example", false, None),
            (&remote, "a=1; domain=.Example.COM; SameSite=Lax", true, Some("a=1; SameSite=Lax")),
            (&remote, "a=1; Domain=ample.com", true, None),
            (&remote, "a=secure; Max-Age=5", false, None),
            (&remote, "", false, None),
        ];
        for (origins, cookie, tls, expected) in table {
            let seen = translate(cookie, origins, tls).map(|translated| translated.value);
            assert_eq!(seen.as_deref(), expected, "{cookie}");
        }
    }
}
