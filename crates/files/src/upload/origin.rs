//! Whether a request that changes something comes from our own page, or from no page at all (`curl`).

use doorstep_http::Request;
use http::header;

/// False for what a page of another origin made its visitor's browser send. Browsers say so in `Origin` and
/// `Sec-Fetch-Site` (Fetch, Fetch Metadata) and pages cannot forge either; programs send neither.
pub fn is_own_page_or_program(request: &Request) -> bool {
    let said_site = request.headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if said_site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return false;
    }
    let Some(origin) = request.headers.get(header::ORIGIN) else { return true };
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some_and(|host| host.eq_ignore_ascii_case(&request.authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn allowed(headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = Request::get("/");
        request.authority = "192.168.1.2:8080".to_owned();
        for (name, value) in headers {
            request.headers.append(*name, HeaderValue::from_static(value));
        }
        is_own_page_or_program(&request)
    }

    #[test]
    fn only_our_own_page_and_programs_may() {
        assert!(allowed(&[]));
        assert!(allowed(&[("origin", "http://192.168.1.2:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[("sec-fetch-site", "none")]));
        assert!(!allowed(&[("origin", "https://evil.example")]));
        assert!(!allowed(&[("origin", "http://192.168.1.2")]));
        assert!(!allowed(&[("origin", "null")]));
        assert!(!allowed(&[("sec-fetch-site", "cross-site")]));
        assert!(!allowed(&[("sec-fetch-site", "same-site"), ("origin", "http://192.168.1.2:8080")]));
    }
}
