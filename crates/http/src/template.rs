//! Texts with `{…}` that are filled in from a request ([`doorstep_model::Template`] says which).

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Captures, Request};

/// A template, taken apart once.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

/// Where a filled template goes, which decides how values are written. Neither lets a control character through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A URL or a part of one: values are percent-encoded so that they stay in the part where they stand. In the host
    /// nothing of a value can end it, in a path no `?`, in a query no `&`.
    Url,
    /// The value of a header field.
    Field,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a {{ has no }} after it; write {{{{ where you mean the character itself")]
    Open,
    #[error("a }} has no {{ before it; write }}}} where you mean the character itself")]
    Close,
    #[error("{{{0}}} stands for nothing")]
    Unknown(String),
    #[error("a control character stands in it")]
    Control,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Clone, Debug)]
enum Value {
    Scheme,
    Host,
    Authority,
    Path,
    Query,
    MarkedQuery,
    Uri,
    Method,
    Client,
    RequestId,
    Number(usize),
    Name(String),
}

impl Template {
    /// # Errors
    /// Braces that do not match, an unknown value, a control character.
    pub fn compile(template: &doorstep_model::Template) -> Result<Self, TemplateError> {
        if template.0.chars().any(char::is_control) {
            return Err(TemplateError::Control);
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut chars = template.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.next_if_eq(&c).is_some() => text.push(c),
                '}' => return Err(TemplateError::Close),
                '{' => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some('}') => break,
                            Some('{') | None => return Err(TemplateError::Open),
                            Some(c) => name.push(c),
                        }
                    }
                    parts.push(Part::Value(Value::of(&name).ok_or(TemplateError::Unknown(name))?));
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self(parts))
    }

    /// Whether it is the same for every request.
    pub fn is_constant(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Fills in from the request and the captures of its route. The result is visible ASCII and spaces, for
    /// [`Place::Url`] without spaces.
    pub fn fill(&self, request: &Request, place: Place) -> String {
        self.fill_with(request, &request.captures, place)
    }

    /// The same with other captures.
    pub fn fill_with(&self, request: &Request, captures: &Captures, place: Place) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match (part, place) {
                (Part::Text(text), Place::Url) => out.extend(utf8_percent_encode(text, AS_IT_IS)),
                (Part::Text(text), Place::Field) => out.extend(utf8_percent_encode(text, CONTROLS)),
                (Part::Value(value), place) => value.with_text(request, captures, |text| match place {
                    Place::Field => out.extend(utf8_percent_encode(text, CONTROLS)),
                    Place::Url => {
                        let set = value.set(text, &out);
                        out.extend(utf8_percent_encode(text, set));
                    }
                }),
            }
        }
        if place == Place::Url && !matches!(self.0.first(), Some(Part::Text(text)) if text.starts_with("//")) {
            stay_on_this_host(&mut out);
        }
        out
    }
}

/// Two slashes at the start would make a host of what was meant as a path; browsers take `\` for `/`.
fn stay_on_this_host(url: &mut String) {
    if url.starts_with('/') {
        let slashes = url.bytes().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
        url.replace_range(..slashes, "/");
    }
}

/// What is a URL already.
const AS_IT_IS: &AsciiSet = &CONTROLS.add(b' ');
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const IN_FIRST_SEGMENT: &AsciiSet = &IN_PATH.add(b':');
const IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');
const IN_HOST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Where in a URL one is after writing `before`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Nothing is there yet.
    Start,
    /// In the host, of which something is there already or not.
    Host {
        begun: bool,
    },
    Path,
    Query,
}

impl Where {
    fn after(before: &str) -> Self {
        if before.is_empty() {
            return Self::Start;
        }
        if before.contains(['?', '#']) {
            return Self::Query;
        }
        let host = match before.split_once("://") {
            Some((_, rest)) => Some(rest),
            None => before.strip_prefix("//"),
        };
        match host {
            Some(host) if !host.contains('/') => Self::Host { begun: !host.is_empty() },
            _ => Self::Path,
        }
    }
}

impl Value {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "scheme" => Self::Scheme,
            "host" => Self::Host,
            "authority" => Self::Authority,
            "path" => Self::Path,
            "query" => Self::Query,
            "?query" => Self::MarkedQuery,
            "uri" => Self::Uri,
            "method" => Self::Method,
            "client" => Self::Client,
            "request_id" => Self::RequestId,
            _ => match name.bytes().next()? {
                b'1'..=b'9' => Self::Number(name.parse().ok()?),
                first if first.is_ascii_alphabetic() || first == b'_' => {
                    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                    plain.then(|| Self::Name(name.to_owned()))?
                }
                _ => return None,
            },
        })
    }

    fn with_text(&self, request: &Request, captures: &Captures, use_it: impl FnOnce(&str)) {
        match self {
            Self::Scheme => use_it(request.scheme()),
            Self::Host => use_it(request.host()),
            Self::Authority => use_it(&request.authority),
            Self::Path => use_it(request.target.path()),
            Self::Query => use_it(request.target.query().unwrap_or_default()),
            Self::MarkedQuery => match request.target.query() {
                Some(query) => use_it(&format!("?{query}")),
                None => use_it(""),
            },
            Self::Uri => use_it(request.target.path_and_query().map_or("/", |target| target.as_str())),
            Self::Method => use_it(request.method.as_str()),
            Self::Client => use_it(&request.peer_ip().to_string()),
            Self::RequestId => use_it(request.id.as_ref().map_or("", |id| id.as_str())),
            Self::Number(number) => use_it(captures.number(*number)),
            Self::Name(name) => use_it(captures.name(name)),
        }
    }

    /// What must be encoded of this value's `text` after `before`.
    fn set(&self, text: &str, before: &str) -> &'static AsciiSet {
        let place = match Where::after(before) {
            // A value that is a whole path ends the host and cannot be a part of it.
            Where::Start | Where::Host { begun: true } if text.starts_with('/') => Where::Path,
            Where::Host { begun: true } if matches!(self, Self::MarkedQuery) => Where::Query,
            place => place,
        };
        match (self, place) {
            (Self::Scheme | Self::MarkedQuery, Where::Start) => AS_IT_IS,
            // What comes before a `:` here would be taken for a scheme, and the rest for a host.
            (_, Where::Start) => IN_FIRST_SEGMENT,
            (Self::Host | Self::Authority, Where::Host { .. }) => AS_IT_IS,
            (_, Where::Host { .. }) => IN_HOST,
            (Self::Path | Self::Uri, Where::Path) => AS_IT_IS,
            (Self::Query | Self::MarkedQuery, Where::Path | Where::Query) => AS_IT_IS,
            (_, Where::Path) => IN_PATH,
            (_, Where::Query) => IN_QUERY,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::GroupNames;

    fn template(text: &str) -> Template {
        Template::compile(&doorstep_model::Template(text.to_owned())).unwrap()
    }

    fn captured(text: &str) -> Captures {
        let regex = regex::Regex::new("(?s)^(?P<all>.*)$").unwrap();
        Captures::of(&regex.captures(text).unwrap(), &GroupNames::of(&regex))
    }

    #[test]
    fn values() {
        let mut request = Request::get("/a%20b/c?x=1&y=%0d");
        request.authority = "blog.example.com:8080".to_owned();
        request.captures = captured("pic s/ü?&.png");
        for (text, expected) in [
            ("https://{host}{uri}", "https://blog.example.com/a%20b/c?x=1&y=%0d"),
            ("{scheme}://{authority}{path}", "http://blog.example.com:8080/a%20b/c"),
            ("https://cdn.example.com/{1}{?query}", "https://cdn.example.com/pic%20s/%C3%BC%3F&.png?x=1&y=%0d"),
            ("/new/{all}?from={1}", "/new/pic%20s/%C3%BC%3F&.png?from=pic%20s/%C3%BC%3F%26.png"),
            ("https://{1}.example.com/", "https://pic%20s%2F%C3%BC%3F%26.png.example.com/"),
            ("/login?next={uri}", "/login?next=/a%2520b/c%3Fx%3D1%26y%3D%250d"),
            ("https://example.com{?query}", "https://example.com?x=1&y=%0d"),
            ("/{{{method}}}", "/{GET}"),
            ("/{client}/{2}{nobody}", "/127.0.0.1/"),
            ("/ü b", "/%C3%BC%20b"),
        ] {
            assert_eq!(template(text).fill(&request, Place::Url), expected, "{text}");
        }
        assert_eq!(template("for {1}").fill(&request, Place::Field), "for pic s/%C3%BC?&.png");
        assert!(template("/a{{").is_constant() && !template("{1}").is_constant());
    }

    #[test]
    fn no_other_host_than_was_written() {
        let request = Request::get("//evil.example/x");
        for text in ["{uri}", "{path}", "/{uri}", "/{path}"] {
            assert_eq!(template(text).fill(&request, Place::Url), "/evil.example/x", "{text}");
        }
        for capture in ["https:/evil.example", "/https:/evil.example"] {
            let url = template("{1}").fill_with(&request, &captured(capture), Place::Url);
            assert!(url.starts_with('/') || url.starts_with("https%3A/"), "{url}");
        }
        let backslash = template("/{1}").fill_with(&request, &captured("\\evil.example"), Place::Url);
        assert_eq!(backslash, "/%5Cevil.example");
        for capture in ["/evil.example", "u@evil.example", "evil.example:1", "evil.example#", "a/b"] {
            let url = template("https://{1}.example.com/").fill_with(&request, &captured(capture), Place::Url);
            let host = url.strip_prefix("https://").unwrap().split(['/', '?', '#', '@', ':', '\\']).next().unwrap();
            assert!(host.ends_with(".example.com"), "{url}");
        }
    }

    #[test]
    fn malformed() {
        use TemplateError as E;
        for (text, error) in [
            ("{", E::Open),
            ("a{b", E::Open),
            ("{a{b}}", E::Open),
            ("}", E::Close),
            ("{}", E::Unknown(String::new())),
            ("{0}", E::Unknown("0".to_owned())),
            ("{a b}", E::Unknown("a b".to_owned())),
            ("a\r\nb", E::Control),
        ] {
            let compiled = Template::compile(&doorstep_model::Template(text.to_owned()));
            assert_eq!(compiled.unwrap_err(), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_gets_out_of_its_field(
            text in "[a-z/:?&. ]{0,8}\\{(1|all|uri|path|query|\\?query|host|method)\\}[a-z/?]{0,4}",
            capture in "(?s).{0,24}",
            target in "/[!-~]{0,24}",
        ) {
            let Ok(target) = target.parse() else { return Ok(()) };
            let mut request = Request::get("/");
            request.target = target;
            request.captures = captured(&capture);
            let template = template(&text);
            let url = template.fill(&request, Place::Url);
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{:?}", url);
            let field = template.fill(&request, Place::Field);
            prop_assert!(field.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{:?}", field);
        }
    }
}
