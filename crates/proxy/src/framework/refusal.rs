use doorstep_model::{Blame, Finding, Severity};
use http::StatusCode;

use super::Framework;
use crate::headers::host_of;

/// A refusal that a known framework gives to visitors of an address that it does not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub finding: Finding,
    /// Whether it was for `X-Forwarded-Host`, which can be left out.
    pub of_forwarded_host: bool,
}

/// Recognises a refusal by its status and the beginning of its body. `authority` is the visitor's; `own_origin` is
/// the request's `Origin` if it is that of the shared address, and not of a foreign page that is rightly refused.
pub fn refusal(
    status: StatusCode,
    body: &str,
    framework: Framework,
    authority: &str,
    own_origin: Option<&str>,
) -> Option<Refusal> {
    let host = host_of(authority);
    match status.as_u16() {
        400 => django_host(body, framework, host),
        403 => django_csrf(body, own_origin)
            .or_else(|| vite(body))
            .or_else(|| rails(body, authority))
            .or_else(|| webpack(body, host)),
        _ => webpack(body, host),
    }
}

fn refused(id: &'static str, what: String, why: &str, fix: String) -> Option<Refusal> {
    let finding = Finding { severity: Severity::Error, blame: Blame::Upstream, id, what, why: why.to_owned(), fix };
    Some(Refusal { finding, of_forwarded_host: false })
}

fn django_host(body: &str, framework: Framework, host: &str) -> Option<Refusal> {
    let named = quoted_after(body, "You may need to add ");
    let plain = matches!(framework, Framework::Django | Framework::Wsgi) && body.contains("<h1>Bad Request (400)</h1>");
    if !(body.contains("DisallowedHost") || (named.is_some() && body.contains("ALLOWED_HOSTS")) || plain) {
        return None;
    }
    let host = named.unwrap_or_else(|| host.to_owned());
    refused(
        "django-disallowed-host",
        format!("Django refuses visitors of the host {host}."),
        "Its ALLOWED_HOSTS setting does not name it.",
        format!("In settings.py: ALLOWED_HOSTS = [\"{host}\"]"),
    )
}

fn django_csrf(body: &str, own_origin: Option<&str>) -> Option<Refusal> {
    let origin = own_origin?;
    if !body.contains("CSRF verification failed") {
        return None;
    }
    // With DEBUG the page tells the reason, and some are no matter of addresses.
    if body.contains("CSRF token") && body.contains("Reason given for failure") && !body.contains("checking failed") {
        return None;
    }
    refused(
        "django-csrf",
        "Django refuses a form: CSRF verification failed.".to_owned(),
        "It does not trust the address that the form was sent from.",
        format!("In settings.py: CSRF_TRUSTED_ORIGINS = [\"{origin}\"]"),
    )
}

fn vite(body: &str) -> Option<Refusal> {
    let host = between(body, "Blocked request. This host (", ") is not allowed")?.trim_matches('"').to_owned();
    let section = if body.contains("preview.allowedHosts") { "preview" } else { "server" };
    refused(
        "vite-blocked-host",
        format!("Vite refuses visitors of the host {host}."),
        "Its allowedHosts setting does not name it.",
        format!("In vite.config.js: {section}: {{ allowedHosts: [\"{host}\"] }}"),
    )
}

fn rails(body: &str, authority: &str) -> Option<Refusal> {
    let after = ["Blocked hosts: ", "Blocked host: "].iter().find_map(|words| body.split_once(words))?.1;
    let blocked = after.split(|c: char| c == '<' || c == ',' || c.is_whitespace()).next().unwrap_or_default();
    let host = host_of(blocked);
    let mut refusal = refused(
        "rails-blocked-host",
        format!("Rails refuses visitors of the host {host}."),
        "Its config.hosts does not name it. doorstep stops telling it that host, so a reload will do; links that \
         Rails makes may then lead to its own address.",
        format!("In config/environments/development.rb: config.hosts << \"{host}\""),
    )?;
    refusal.of_forwarded_host = blocked.eq_ignore_ascii_case(authority);
    Some(refusal)
}

fn webpack(body: &str, host: &str) -> Option<Refusal> {
    if !(body.len() < 64 && body.trim_start().starts_with("Invalid Host")) {
        return None;
    }
    refused(
        "webpack-invalid-host",
        format!("The development server refuses visitors of the host {host}: Invalid Host header."),
        "Its allowedHosts setting does not name it.",
        format!(
            "In webpack.config.js: devServer: {{ allowedHosts: [\"{host}\"] }}, or for Angular: \
             ng serve --allowed-hosts {host}"
        ),
    )
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// What follows `words` in quotes, which an HTML page may have escaped.
fn quoted_after(text: &str, words: &str) -> Option<String> {
    let after = text.split_once(words)?.1;
    let after = ["&#x27;", "&#39;", "'", "&quot;", "\""].iter().find_map(|quote| after.strip_prefix(quote))?;
    let end = after.find(['&', '\'', '"', '<'])?;
    Some(after.get(..end)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(status: u16, body: &str, framework: Framework) -> Option<(&'static str, String)> {
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, body, framework, "my-laptop.local:8080", Some("http://my-laptop.local:8080"))
            .map(|refusal| (refusal.finding.id, refusal.finding.fix))
    }

    #[test]
    fn each_refusal_has_its_line() {
        let table = [
            (
                400,
                "<title>DisallowedHost\n at /</title>Invalid HTTP_HOST header: &#x27;a.local:8080&#x27;. You may need to \
                 add &#x27;a.local&#x27; to ALLOWED_HOSTS.",
                "django-disallowed-host",
                "In settings.py: ALLOWED_HOSTS = [\"a.local\"]",
            ),
            (
                403,
                "<p>CSRF verification failed. Request aborted.</p><p>Reason given for failure:</p><pre>Origin checking \
                 failed - http://my-laptop.local:8080 does not match any trusted origins.",
                "django-csrf",
                "In settings.py: CSRF_TRUSTED_ORIGINS = [\"http://my-laptop.local:8080\"]",
            ),
            (
                403,
                "<p>CSRF verification failed. Request aborted.</p>",
                "django-csrf",
                "In settings.py: CSRF_TRUSTED_ORIGINS = [\"http://my-laptop.local:8080\"]",
            ),
            (
                403,
                "Blocked request. This host (\"c.local\") is not allowed.\nTo allow this host, add \"c.local\" to \
                 `server.allowedHosts` in vite.config.js.",
                "vite-blocked-host",
                "In vite.config.js: server: { allowedHosts: [\"c.local\"] }",
            ),
            (
                403,
                "<h1>Blocked hosts: d.local:8080</h1>",
                "rails-blocked-host",
                "In config/environments/development.rb: config.hosts << \"d.local\"",
            ),
            (
                200,
                "Invalid Host header",
                "webpack-invalid-host",
                "In webpack.config.js: devServer: { allowedHosts: [\"my-laptop.local\"] }, or for Angular: ng serve \
                 --allowed-hosts my-laptop.local",
            ),
        ];
        for (status, body, id, line) in table {
            assert_eq!(fix(status, body, Framework::Unknown), Some((id, line.to_owned())), "{body}");
        }
        let plain = fix(400, "<h1>Bad Request (400)</h1>", Framework::Django);
        assert_eq!(plain.map(|(id, _)| id), Some("django-disallowed-host"));
    }

    #[test]
    fn a_foreign_page_is_rightly_refused() {
        let page = "CSRF verification failed. Origin checking failed - http://evil.example does not match any";
        assert_eq!(refusal(StatusCode::FORBIDDEN, page, Framework::Django, "h:1", None), None);
    }

    #[test]
    fn other_errors_are_not_refusals() {
        for (status, body) in [
            (400, "<h1>Bad Request (400)</h1>"),
            (403, "<h1>403 Forbidden</h1>"),
            (403, "CSRF verification failed. Reason given for failure: CSRF token missing."),
            (404, "Not Found"),
            (200, "Invalid Host header is an error of webpack-dev-server that this page is about, at length"),
        ] {
            assert_eq!(fix(status, body, Framework::Unknown), None, "{body}");
        }
    }
}
