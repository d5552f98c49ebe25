use http::{HeaderMap, header};

/// A kind of app that is treated or explained in its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framework {
    #[default]
    Unknown,
    Django,
    Werkzeug,
    Vite,
    Next,
    Webpack,
    Rails,
    /// The server of Python's standard library, which Django's `runserver` is too.
    Wsgi,
    /// Known by name, and nothing special.
    Other,
}

impl Framework {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Django,
        Self::Werkzeug,
        Self::Vite,
        Self::Next,
        Self::Webpack,
        Self::Rails,
        Self::Wsgi,
        Self::Other,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or_default()
    }
}

/// An app by its name for people, such as `Flask (Werkzeug development server)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub framework: Framework,
    pub name: String,
    pub version: Option<String>,
}

impl App {
    pub fn django() -> Self {
        Self { framework: Framework::Django, name: "Django development server".to_owned(), version: None }
    }
}

/// Recognises an app by a response: its head, and the beginning of its body where that is at hand.
pub fn recognise(headers: &HeaderMap, body: &str) -> Option<App> {
    by_body(body).or_else(|| by_powered_by(headers, body)).or_else(|| by_server(headers)).or_else(|| by_fields(headers))
}

fn app(framework: Framework, name: &str, version: Option<&str>) -> Option<App> {
    Some(App { framework, name: name.to_owned(), version: version.map(str::to_owned) })
}

fn by_body(body: &str) -> Option<App> {
    if body.contains("/@vite/client") {
        let name = if body.contains("<app-root") { "Angular development server" } else { "Vite development server" };
        return app(Framework::Vite, name, None);
    }
    if body.contains("View release notes for Django") || body.contains("Django Version:") {
        let (_, after) = body.split_once("for Django ").or_else(|| body.split_once("Django Version:"))?;
        let digits = after.find(|c: char| c.is_ascii_digit()).and_then(|at| after.get(at..))?;
        let version = digits.split(|c: char| !c.is_ascii_digit() && c != '.').next();
        return app(Framework::Django, "Django development server", version);
    }
    if body.contains("webpack-dev-server") || body.contains("/__webpack_hmr") {
        return app(Framework::Webpack, "webpack development server", None);
    }
    None
}

fn by_powered_by(headers: &HeaderMap, body: &str) -> Option<App> {
    let powered = headers.get("x-powered-by")?.to_str().ok()?;
    let (name, version) = product(powered);
    match name {
        "Next.js" => app(Framework::Next, "Next.js", version),
        "Nuxt" => app(Framework::Other, "Nuxt", version),
        // Angular before version 17 serves by webpack-dev-server, which is an Express app.
        "Express" if body.contains("<app-root") => app(Framework::Webpack, "Angular development server", None),
        "Express" => app(Framework::Other, "Express", version),
        "PHP" if headers.contains_key(header::HOST) => app(Framework::Other, "PHP development server", version),
        "PHP" => app(Framework::Other, "PHP", version),
        _ => None,
    }
}

fn by_server(headers: &HeaderMap) -> Option<App> {
    let server = headers.get(header::SERVER)?.to_str().ok()?;
    let (name, version) = product(server);
    match name {
        "Werkzeug" => app(Framework::Werkzeug, "Flask (Werkzeug development server)", version),
        // Django's runserver is the standard library's server; these fields are Django's.
        "WSGIServer"
            if headers.contains_key("x-frame-options") || headers.contains_key("cross-origin-opener-policy") =>
        {
            app(Framework::Django, "Django development server", None)
        }
        "WSGIServer" => app(Framework::Wsgi, "Python wsgiref", version),
        "SimpleHTTP" => app(Framework::Other, "Python http.server", version),
        "TornadoServer" if is_jupyter(headers) => app(Framework::Other, "Jupyter", None),
        "TornadoServer" => app(Framework::Other, "Tornado", version),
        "uvicorn" => app(Framework::Other, "Uvicorn", version),
        "hypercorn-h11" => app(Framework::Other, "Hypercorn", version),
        "daphne" | "Daphne" => app(Framework::Other, "Daphne", version),
        "gunicorn" => app(Framework::Other, "Gunicorn", version),
        "waitress" => app(Framework::Other, "Waitress", version),
        "CherryPy" => app(Framework::Other, "CherryPy", version),
        "WEBrick" => app(Framework::Other, "WEBrick", version),
        "Kestrel" => app(Framework::Other, "ASP.NET Core (Kestrel)", version),
        // The language first, then the library: `Python/3.11 aiohttp/3.9`.
        "Python" => {
            let (library, version) = product(server.split(' ').nth(1).unwrap_or(name));
            app(Framework::Other, &format!("Python {library}"), version)
        }
        "" => None,
        other => app(Framework::Other, other, version),
    }
}

fn by_fields(headers: &HeaderMap) -> Option<App> {
    if headers.contains_key("x-runtime") && headers.contains_key("x-request-id") {
        return app(Framework::Rails, "Ruby on Rails", None);
    }
    None
}

fn is_jupyter(headers: &HeaderMap) -> bool {
    let goes_to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    ["/tree", "/lab", "/login?next"].iter().any(|page| goes_to.contains(page))
        || headers
            .get(header::CONTENT_SECURITY_POLICY)
            .is_some_and(|policy| policy.to_str().is_ok_and(|policy| policy.contains("/api/security/csp-report")))
}

/// The first product of a `Server` or `X-Powered-By` value (RFC 9110 section 10.1.5): `nginx/1.22.1 (Debian)`.
fn product(value: &str) -> (&str, Option<&str>) {
    let first = value.split(' ').next().unwrap_or_default();
    match first.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (first, None),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn name(fields: &[(&'static str, &'static str)], body: &str) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        recognise(&headers, body).map(|app| (app.name, app.version))
    }

    #[test]
    fn known_servers() {
        type Case =
            (&'static [(&'static str, &'static str)], &'static str, Option<(&'static str, Option<&'static str>)>);
        let table: [Case; 10] = [
            (
                &[("server", "Werkzeug/2.2.2 Python/3.11.2")],
                "",
                Some(("Flask (Werkzeug development server)", Some("2.2.2"))),
            ),
            (
                &[("server", "WSGIServer/0.2 CPython/3.11.2"), ("x-frame-options", "DENY")],
                "",
                Some(("Django development server", None)),
            ),
            (&[("server", "WSGIServer/0.2 CPython/3.11.2")], "", Some(("Python wsgiref", Some("0.2")))),
            (&[("x-powered-by", "Next.js")], "", Some(("Next.js", None))),
            (&[("x-powered-by", "PHP/8.2.1"), ("host", "x")], "", Some(("PHP development server", Some("8.2.1")))),
            (&[("x-runtime", "0.1"), ("x-request-id", "7")], "", Some(("Ruby on Rails", None))),
            (&[], "<script type=\"module\" src=\"/@vite/client\">", Some(("Vite development server", None))),
            (
                &[("server", "WSGIServer/0.2 CPython/3.11.2")],
                "<a>View release notes for Django 5.2</a>",
                Some(("Django development server", Some("5.2"))),
            ),
            (&[("server", "TornadoServer/6.3"), ("location", "/tree?")], "", Some(("Jupyter", None))),
            (&[("x-other", "1")], "<p>hello", None),
        ];
        for (fields, body, expected) in table {
            let expected = expected.map(|(name, version)| (name.to_owned(), version.map(str::to_owned)));
            assert_eq!(name(fields, body), expected, "{fields:?} {body}");
        }
    }

    #[test]
    fn codes_are_their_own_inverse() {
        for framework in Framework::ALL {
            assert_eq!(Framework::from_code(framework.code()), framework);
        }
    }
}
