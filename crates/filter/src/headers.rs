//! Changes of header fields.

use doorstep_http::{Place, Request, RouteError, Template};
use doorstep_model::HeaderEdit;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use crate::FilterError;

/// [`HeaderEdit`]s made ready.
pub(crate) struct Edits(Vec<Edit>);

struct Edit {
    kind: Kind,
    name: HeaderName,
    value: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Add,
    Remove,
    Default,
}

enum Value {
    Constant(HeaderValue),
    Template(Template),
}

/// The values of response fields that speak of the request, which is gone when the response comes.
pub(crate) struct Filled(Vec<HeaderValue>);

impl Edits {
    pub(crate) fn new(edits: &[HeaderEdit]) -> Result<Self, FilterError> {
        edits.iter().map(Edit::new).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn fill(&self, request: &Request) -> Filled {
        Filled(self.0.iter().map(|edit| edit.value.fill(request)).collect())
    }

    /// Changes what the app is sent. What is set here an app can rely on: the client's own field of that name, or of one
    /// that an app may take for it (`X_User` for `X-User`), stays behind.
    pub(crate) fn apply_to_request(&self, request: &mut Request) {
        for edit in &self.0 {
            match edit.kind {
                Kind::Remove => {
                    remove_alike(&mut request.headers, &edit.name);
                    request.vouched.headers.remove(&edit.name);
                }
                Kind::Default if request.headers.contains_key(&edit.name) => {}
                Kind::Default | Kind::Add => {
                    let value = edit.value.fill(request);
                    request.headers.append(edit.name.clone(), value);
                }
                Kind::Set => {
                    let value = edit.value.fill(request);
                    remove_alike(&mut request.headers, &edit.name);
                    request.headers.insert(edit.name.clone(), value.clone());
                    // Cookies are always put together from the request itself.
                    if edit.name != header::COOKIE {
                        request.vouched.set(edit.name.clone(), value);
                    }
                }
            }
        }
    }

    pub(crate) fn apply_to_response(&self, headers: &mut HeaderMap, filled: Filled) {
        for (edit, value) in self.0.iter().zip(filled.0) {
            match edit.kind {
                Kind::Remove => drop(headers.remove(&edit.name)),
                Kind::Set => drop(headers.insert(edit.name.clone(), value)),
                Kind::Add => drop(headers.append(edit.name.clone(), value)),
                Kind::Default => drop(headers.entry(edit.name.clone()).or_insert(value)),
            }
        }
    }
}

impl Edit {
    fn new(edit: &HeaderEdit) -> Result<Self, FilterError> {
        let (kind, name, template) = match edit {
            HeaderEdit::Set(name, value) => (Kind::Set, name, Some(value)),
            HeaderEdit::Add(name, value) => (Kind::Add, name, Some(value)),
            HeaderEdit::Default(name, value) => (Kind::Default, name, Some(value)),
            HeaderEdit::Remove(name) => (Kind::Remove, name, None),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| RouteError::Field(name.clone()))?;
        if is_framing(&name) {
            return Err(FilterError::Framing(name.to_string()));
        }
        let value = match template {
            None => Value::Constant(HeaderValue::from_static("")),
            Some(text) => {
                let template = Template::compile(text).map_err(RouteError::from)?;
                if template.is_constant() {
                    Value::Constant(field(&template.fill(&Request::get("/"), Place::Field)))
                } else {
                    Value::Template(template)
                }
            }
        };
        Ok(Self { kind, name, value })
    }
}

impl Value {
    fn fill(&self, request: &Request) -> HeaderValue {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Template(template) => field(&template.fill(request, Place::Field)),
        }
    }
}

/// A filled template is visible ASCII, so this never falls back.
fn field(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Fields that the engine and the proxy write by themselves: how long a message is, where it goes, what becomes of the
/// connection.
fn is_framing(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 8] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::EXPECT,
    ];
    OURS.contains(name) || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

fn remove_alike(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    let is_alike = |other: &HeaderName| {
        let (other, name) = (other.as_str().as_bytes(), name.as_str().as_bytes());
        other.len() == name.len() && other.iter().zip(name).all(|(a, b)| plain(*a) == plain(*b))
    };
    while let Some(twin) = headers.keys().find(|other| is_alike(other)).cloned() {
        headers.remove(twin);
    }
}

/// Adds to `Vary` what is not there yet.
pub(crate) fn add_vary(headers: &mut HeaderMap, names: &'static str) {
    let known =
        |name: &str| {
            headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok()).any(|line| {
                line.split(',').map(str::trim).any(|known| known == "*" || known.eq_ignore_ascii_case(name))
            })
        };
    if !names.split(", ").all(known) {
        headers.append(header::VARY, HeaderValue::from_static(names));
    }
}

#[cfg(test)]
mod tests {
    use doorstep_model::Template as Text;

    use super::*;

    fn text(value: &str) -> Text {
        Text(value.to_owned())
    }

    #[test]
    fn requests() {
        let edits = Edits::new(&[
            HeaderEdit::Set("x-user".to_owned(), text("{client} ü")),
            HeaderEdit::Add("x-tag".to_owned(), text("b")),
            HeaderEdit::Remove("x-secret".to_owned()),
            HeaderEdit::Default("accept".to_owned(), text("*/*")),
            HeaderEdit::Default("x-tag".to_owned(), text("never")),
        ])
        .unwrap();
        let mut request = Request::get("/");
        for (name, value) in
            [("x-user", "root"), ("x_user", "root"), ("x-tag", "a"), ("x_secret", "1"), ("x-secret", "2")]
        {
            request.headers.append(name, HeaderValue::from_static(value));
        }
        edits.apply_to_request(&mut request);
        let mut fields: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        fields.sort();
        assert_eq!(fields, ["accept: */*", "x-tag: a", "x-tag: b", "x-user: 127.0.0.1 %C3%BC"]);
        assert_eq!(request.vouched.headers["x-user"], "127.0.0.1 %C3%BC");
    }

    #[test]
    fn responses() {
        let edits = Edits::new(&[
            HeaderEdit::Remove("server".to_owned()),
            HeaderEdit::Set("x-path".to_owned(), text("{path}")),
            HeaderEdit::Default("cache-control".to_owned(), text("no-store")),
        ])
        .unwrap();
        let filled = edits.fill(&Request::get("/a%20b"));
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("app"));
        headers.insert("cache-control", HeaderValue::from_static("max-age=1"));
        edits.apply_to_response(&mut headers, filled);
        assert_eq!((headers.get("server"), &headers["x-path"]), (None, &HeaderValue::from_static("/a%20b")));
        assert_eq!(headers["cache-control"], "max-age=1");
    }

    #[test]
    fn what_frames_a_message_is_not_for_filters() {
        for name in ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "a b"] {
            assert!(Edits::new(&[HeaderEdit::Set(name.to_owned(), text("x"))]).is_err(), "{name}");
            assert!(Edits::new(&[HeaderEdit::Remove(name.to_owned())]).is_err(), "{name}");
        }
    }

    #[test]
    fn vary_is_not_said_twice() {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, Cookie"));
        add_vary(&mut headers, "Accept-Encoding");
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
        add_vary(&mut headers, "Origin");
        assert_eq!(headers.get_all(header::VARY).iter().count(), 2);
    }
}
