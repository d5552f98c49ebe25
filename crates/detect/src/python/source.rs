//! Reading Python for what it defines at the top level, without understanding Python.

use crate::found::Start;

/// A web app that a file defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `app`, or `create_app()` for a factory.
    pub attribute: String,
    pub framework: &'static str,
    /// Calls a factory of this project, whose framework is not to be seen in this file.
    pub from_factory: bool,
}

impl Entry {
    pub fn start(&self, module: &str) -> Start {
        Start::Python(format!("{module}:{}", self.attribute))
    }
}

/// Constructors, by the name they are called with, and what they make.
const CONSTRUCTORS: [(&str, &str); 18] = [
    ("FastAPI", "FastAPI"),
    ("Flask", "Flask"),
    ("APIFlask", "Flask"),
    ("Starlette", "Starlette"),
    ("Quart", "Quart"),
    ("Litestar", "Litestar"),
    ("Sanic", "Sanic"),
    ("BlackSheep", "BlackSheep"),
    ("Bottle", "Bottle"),
    ("bottle.default_app", "Bottle"),
    ("default_app", "Bottle"),
    ("get_wsgi_application", "Django"),
    ("get_asgi_application", "Django (ASGI)"),
    ("ProtocolTypeRouter", "Django (ASGI)"),
    ("falcon.App", "Falcon"),
    ("falcon.asgi.App", "Falcon (ASGI)"),
    ("ASGIApp", "Socket.IO"),
    ("WSGIApp", "Socket.IO"),
];

/// Names that such functions have by custom.
const FACTORIES: [&str; 6] =
    ["create_app", "make_app", "get_app", "create_application", "make_application", "get_application"];

/// Names that apps have by custom, best first.
const USUAL: [&str; 4] = ["app", "application", "api", "server"];

/// The best entry that this file offers: an app by its usual name, any app, a factory.
pub fn entry(text: &str) -> Option<Entry> {
    let lines = code_lines(text);
    let mut found: Vec<Entry> = Vec::new();
    let mut dash = false;
    for (at, line) in lines.iter().enumerate() {
        if let Some((name, value)) = assignment(line) {
            let callee = value.split('(').next().unwrap_or_default().trim();
            let last = callee.rsplit('.').next().unwrap_or_default();
            dash |= last == "Dash";
            if !value.contains('(') {
                if dash && value.trim() == "app.server" {
                    found.push(Entry { attribute: name.to_owned(), framework: "Dash", from_factory: false });
                }
                continue;
            }
            if let Some((_, framework)) = CONSTRUCTORS.iter().find(|(made, _)| callee == *made || last == *made) {
                found.push(Entry { attribute: name.to_owned(), framework, from_factory: false });
            } else if FACTORIES.contains(&last) {
                found.push(Entry { attribute: name.to_owned(), framework: "Python", from_factory: true });
            }
        } else if let Some(signature) = line.strip_prefix("def ").or_else(|| line.strip_prefix("async def ")) {
            found.extend(function(signature, line.starts_with("async"), &lines[at..]));
        }
    }
    let rank = |entry: &Entry| {
        let usual = USUAL.iter().position(|name| *name == entry.attribute).unwrap_or(USUAL.len());
        // A Socket.IO app wraps another one of the same file, and is the one to serve.
        (entry.attribute.ends_with("()"), entry.framework != "Socket.IO", usual)
    };
    found.into_iter().min_by_key(rank)
}

/// A function that is an app by its parameters, or that makes one.
fn function(signature: &str, is_async: bool, from: &[&str]) -> Option<Entry> {
    let name = signature.split('(').next()?.trim();
    let parameters = parameters(from)?;
    let names: Vec<&str> = parameters.iter().map(|p| p.split([':', '=']).next().unwrap_or_default().trim()).collect();
    if is_async && matches!(names[..], ["scope", "receive", "send"]) {
        return Some(Entry { attribute: name.to_owned(), framework: "ASGI", from_factory: false });
    }
    if !is_async && matches!(names[..], ["environ" | "env", "start_response"]) {
        return Some(Entry { attribute: name.to_owned(), framework: "WSGI", from_factory: false });
    }
    if is_async || !FACTORIES.contains(&name) || parameters.iter().any(|p| !p.contains('=') && !p.starts_with('*')) {
        return None;
    }
    let body = from[1..].iter().take_while(|line| line.is_empty() || line.starts_with([' ', '\t', ')']));
    let framework = body.filter_map(|line| {
        let value = line.split_once('=').map_or_else(|| line.trim().trim_start_matches("return "), |(_, value)| value);
        let callee = value.split('(').next().unwrap_or_default().trim();
        let last = callee.rsplit('.').next().unwrap_or_default();
        CONSTRUCTORS.iter().find(|(made, _)| callee == *made || last == *made).map(|(_, framework)| *framework)
    });
    Some(Entry { attribute: format!("{name}()"), framework: framework.last()?, from_factory: false })
}

/// The parameters of the `def` in the first line, which may go on over the next ones.
fn parameters(from: &[&str]) -> Option<Vec<String>> {
    const LONGEST: usize = 40;
    let text = from.iter().take(LONGEST).copied().collect::<Vec<_>>().join(" ");
    let (_, rest) = text.split_once('(')?;
    let mut depth = 0_usize;
    let mut parts = vec![String::new()];
    for c in rest.chars() {
        match c {
            ')' if depth == 0 => {
                return Some(parts.iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect());
            }
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        parts.last_mut()?.push(c);
    }
    None
}

/// `name = value` or `name: Type = value` at the top level.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (left, value) = line.split_once('=')?;
    let name = left.split(':').next()?.trim_end();
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !value.starts_with('=')).then_some((name, value))
}

/// The lines outside of strings that go over several lines, without comments that fill a line.
fn code_lines(text: &str) -> Vec<&str> {
    let mut quote: Option<&str> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let inside = quote.is_some();
        let mut rest = line;
        loop {
            match quote {
                Some(end) => match rest.find(end) {
                    Some(at) => {
                        rest = &rest[at + 3..];
                        quote = None;
                    }
                    None => break,
                },
                None => {
                    let next = ["\"\"\"", "'''"].into_iter().filter_map(|q| rest.find(q).map(|at| (at, q))).min();
                    match next {
                        Some((at, q)) if !rest[..at].contains('#') => {
                            quote = Some(q);
                            rest = &rest[at + 3..];
                        }
                        _ => break,
                    }
                }
            }
        }
        if !inside && !line.trim_start().starts_with('#') {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, &'static str)> {
        entry(text).map(|entry| (entry.attribute, entry.framework))
    }

    #[test]
    fn apps_by_their_constructor() {
        for (text, attribute, framework) in [
            ("app = Flask(__name__)", "app", "Flask"),
            ("app: Flask = flask.Flask(\n    __name__,\n)", "app", "Flask"),
            ("api = FastAPI()\napp = FastAPI()\n", "app", "FastAPI"),
            ("site = Starlette(routes=[])", "site", "Starlette"),
            ("application = get_wsgi_application()", "application", "Django"),
            ("application = ProtocolTypeRouter({", "application", "Django (ASGI)"),
            ("app = falcon.asgi.App()", "app", "Falcon (ASGI)"),
            ("app = FastAPI()\nsio_app = socketio.ASGIApp(sio, app)", "sio_app", "Socket.IO"),
            ("app = Dash(__name__)\nserver = app.server", "server", "Dash"),
            ("def application(environ, start_response):\n    pass", "application", "WSGI"),
            ("async def app(scope, receive, send):\n    pass", "app", "ASGI"),
            ("def create_app(config=None):\n    app = Flask(__name__)\n    return app", "create_app()", "Flask"),
            (
                "def make_app(\n    *,\n    debug: bool = False,\n) -> FastAPI:\n    return FastAPI()",
                "make_app()",
                "FastAPI",
            ),
        ] {
            assert_eq!(found(text), Some((attribute.to_owned(), framework)), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one() {
        for text in [
            "\"\"\"Write\napp = Flask(__name__)\n\"\"\"",
            "# app = Flask(__name__)",
            "    app = Flask(__name__)",
            "app == Flask(__name__)",
            "app.wsgi_app = ProxyFix(app.wsgi_app)",
            "def create_app(config):\n    return Flask(__name__)",
            "def create_app():\n    return None\nx = 1",
            "flask = Blueprint('x', __name__)",
            "def f(",
            "def (",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn an_app_from_a_factory_elsewhere() {
        let entry = entry("from shop import create_app\n\napp = create_app()\n").unwrap();
        assert!(entry.from_factory && entry.attribute == "app");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(def |async def |app = |Flask\\(|\"\"\"|'''|[(){}\\[\\],:=#é\n a]){0,60}") {
            let _ = entry(&text);
        }
    }
}
