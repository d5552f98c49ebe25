use doorstep_http::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::cookies;
use super::origin::Origins;

/// What was noticed while translating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// A cookie lost its `Secure` mark, because the visitor uses plain HTTP.
    pub cookie_made_insecure: bool,
}

/// Rewrites what a response says about addresses, so that it is true for the visitor.
pub fn translate(headers: &mut HeaderMap, request: &Request, origins: &Origins) -> Translated {
    // Most responses have none of these; to look at each name once is cheaper than to search for each of them.
    if !headers.keys().any(speaks_of_addresses) {
        return Translated::default();
    }
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        replace(headers, &name, |value| origins.reference(value, request));
    }
    replace(headers, &header::REFRESH, |value| refresh(value, request, origins));
    if !request.authority.is_empty() {
        replace(headers, &header::ACCESS_CONTROL_ALLOW_ORIGIN, |value| {
            (value == origins.own()).then(|| format!("{}://{}", request.scheme(), request.authority))
        });
    }
    // Both speak of the app's own address: another port, and https for a name that is now served by us.
    headers.remove(header::ALT_SVC);
    headers.remove(header::STRICT_TRANSPORT_SECURITY);
    if request.conn.tls.is_none() {
        allow_plain_http(headers);
    }
    let mut translated = Translated::default();
    // `entry` makes room for a field that is not there; most responses set no cookie.
    if !headers.contains_key(header::SET_COOKIE) {
        return translated;
    }
    if let header::Entry::Occupied(mut set_cookies) = headers.entry(header::SET_COOKIE) {
        for value in set_cookies.iter_mut() {
            let Some(cookie) =
                value.to_str().ok().and_then(|text| cookies::translate(text, origins, request.conn.tls.is_some()))
            else {
                continue;
            };
            if let Ok(changed) = HeaderValue::from_str(&cookie.value) {
                *value = changed;
                translated.cookie_made_insecure |= cookie.insecure;
            }
        }
    }
    translated
}

/// Whether [`translate`] has to do with a field.
fn speaks_of_addresses(name: &HeaderName) -> bool {
    name == header::SET_COOKIE
        || name == header::LOCATION
        || name == header::CONTENT_LOCATION
        || name == header::REFRESH
        || name == header::ACCESS_CONTROL_ALLOW_ORIGIN
        || name == header::ALT_SVC
        || name == header::STRICT_TRANSPORT_SECURITY
        || name == header::CONTENT_SECURITY_POLICY
}

/// Takes `upgrade-insecure-requests` out of content policies: at `localhost` browsers overlook it, at any other address
/// of plain HTTP the page would lose its styles and scripts.
fn allow_plain_http(headers: &mut HeaderMap) {
    const DIRECTIVE: &str = "upgrade-insecure-requests";
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        return;
    }
    let header::Entry::Occupied(mut policies) = headers.entry(header::CONTENT_SECURITY_POLICY) else { return };
    for value in policies.iter_mut() {
        let Some(policy) = value.to_str().ok().filter(|policy| policy.to_ascii_lowercase().contains(DIRECTIVE)) else {
            continue;
        };
        let kept: Vec<&str> =
            policy.split(';').filter(|directive| !directive.trim().eq_ignore_ascii_case(DIRECTIVE)).collect();
        if let Ok(changed) = HeaderValue::from_str(&kept.join(";")) {
            *value = changed;
        }
    }
}

fn replace(headers: &mut HeaderMap, name: &HeaderName, change: impl FnOnce(&str) -> Option<String>) {
    let Some(value) = headers.get_mut(name) else { return };
    let changed = value.to_str().ok().and_then(change);
    if let Some(changed) = changed.and_then(|text| HeaderValue::from_str(&text).ok()) {
        *value = changed;
    }
}

/// `5; url=http://localhost:8000/x`
fn refresh(value: &str, request: &Request, origins: &Origins) -> Option<String> {
    let at = value.to_ascii_lowercase().find("url=")? + "url=".len();
    let (front, url) = (value.get(..at)?, value.get(at..)?.trim());
    let bare = url.trim_matches(['"', '\'']);
    Some(format!("{front}{}", origins.reference(bare, request)?))
}

#[cfg(test)]
mod tests {
    use super::super::origin::tests::{upstream, visitor};
    use super::*;

    #[test]
    fn policies_allow_plain_http_to_those_who_use_it() {
        let origins = Origins::new(&upstream("http://localhost:8000"));
        let policy = HeaderValue::from_static("default-src 'self';Upgrade-Insecure-Requests;img-src data:");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_SECURITY_POLICY, policy.clone())]);
        translate(&mut headers, &visitor("h:1", true), &origins);
        assert_eq!(headers["content-security-policy"], policy);
        translate(&mut headers, &visitor("h:1", false), &origins);
        assert_eq!(headers["content-security-policy"], "default-src 'self';img-src data:");
    }

    #[test]
    fn addresses_in_a_response() {
        let origins = Origins::new(&upstream("http://localhost:8000"));
        let request = visitor("my-laptop.local:8080", false);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("location", "http://localhost:8000/next"),
            ("content-location", "http://localhost:8000/this"),
            ("refresh", "5; URL='http://localhost:8000/x'"),
            ("access-control-allow-origin", "http://localhost:8000"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3=\":8000\""),
            ("set-cookie", "a=1; Domain=localhost"),
            ("set-cookie", "b=2; Secure"),
            ("set-cookie", "c=3"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let translated = translate(&mut headers, &request, &origins);
        assert!(translated.cookie_made_insecure);
        assert_eq!(headers["location"], "http://my-laptop.local:8080/next");
        assert_eq!(headers["content-location"], "http://my-laptop.local:8080/this");
        assert_eq!(headers["refresh"], "5; URL=http://my-laptop.local:8080/x");
        assert_eq!(headers["access-control-allow-origin"], "http://my-laptop.local:8080");
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
        assert_eq!(headers.len(), 7);
    }
}
