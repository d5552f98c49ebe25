//! Python web apps: Django, and whatever defines a WSGI or ASGI app in a file.

mod django;
mod source;

use std::path::Path;

use crate::found::{Part, Program, Serve, Start};
use crate::project::Projects;
use crate::words::{a, code, listed};
use crate::{limits, tree::Tree};

use source::Entry;

/// The Python app of `folder`, if there is one.
pub fn look(tree: &Tree, folder: &Path, projects: &Projects) -> Option<Part> {
    if tree.has(folder.join("manage.py")) {
        return django::look(tree, folder);
    }
    let sources: Vec<&Path> = projects
        .files_of(tree, folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "py") && is_source(path))
        .take(limits::MAX_SOURCES)
        .collect();
    let mut found: Vec<(&Path, Entry)> = Vec::new();
    let mut factory_framework = None;
    for path in &sources {
        let text = tree.text(path);
        if let Some(entry) = source::entry(&text) {
            if entry.attribute.ends_with("()") {
                factory_framework.get_or_insert(entry.framework);
            }
            found.push((path, entry));
        }
    }
    found.sort_by_key(|(path, entry)| rank(path, entry));
    let Some((path, entry)) = found.first() else { return streamlit(tree, folder, &sources) };
    let framework = if entry.from_factory { factory_framework.unwrap_or("Python") } else { entry.framework };
    let (in_src, module) = module(tree, folder, path);
    let kind = match framework {
        "WSGI" | "ASGI" | "Python" => format!("{} web app", a(framework)),
        framework => format!("{} app", a(framework)),
    };
    let program = Program {
        start: entry.start(&module),
        env: in_src.then(|| ("PYTHONPATH", "src".to_owned())).into_iter().collect(),
        knows_api: mentions_api(tree, &sources),
        keep_one: keeps_state(tree, &sources),
        ..Program::default()
    };
    let name = path.strip_prefix(folder).unwrap_or(path);
    let mut part = Part::new(folder, format!("{kind} ({})", code(name)), Serve::App(program));
    if found.len() > 1 {
        let others: Vec<String> =
            found[1..].iter().take(3).map(|(path, e)| format!("{} in {}", code(&e.attribute), code(path))).collect();
        part = part.assuming(format!(
            "{} in {} is the one to serve, not {}.",
            code(&entry.attribute),
            code(path),
            listed(&others)
        ));
    }
    Some(requirements(tree, folder, part, framework))
}

/// A file that says what to install, or a word about its absence.
fn requirements(tree: &Tree, folder: &Path, part: Part, framework: &str) -> Part {
    if ["requirements.txt", "pyproject.toml"].iter().any(|name| tree.has(folder.join(name))) {
        return part;
    }
    let package = match framework {
        "FastAPI" => "fastapi",
        "Flask" => "flask",
        "Django" | "Django (ASGI)" => "django",
        "Starlette" => "starlette",
        "Quart" => "quart",
        "Bottle" => "bottle",
        "Dash" => "dash",
        _ => "its packages",
    };
    part.todo(format!(
        "There is no requirements.txt, so nothing but the web server is installed: write {} into one, {}.",
        if package.contains(' ') { package.to_owned() } else { code(package) },
        "with whatever else the app imports"
    ))
}

/// The dotted name of a module, and whether it is found only from `src`, where sources of an installable project lie.
fn module(tree: &Tree, folder: &Path, path: &Path) -> (bool, String) {
    let inner = path.strip_prefix(folder).unwrap_or(path);
    let in_src = inner.starts_with("src") && !tree.has(folder.join("src/__init__.py"));
    let inner = if in_src { inner.strip_prefix("src").unwrap_or(inner) } else { inner };
    let whole = inner.with_extension("");
    let mut names: Vec<_> = whole.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "__init__") {
        names.pop();
    }
    (in_src, names.join("."))
}

/// Where people put the app that is to be served: a file made for servers, then the usual names, and not too deep.
fn rank(path: &Path, entry: &Entry) -> (usize, usize, usize) {
    const NAMES: [&str; 8] = ["asgi", "wsgi", "main", "app", "application", "server", "api", "__init__"];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = NAMES.iter().position(|name| *name == stem).unwrap_or(NAMES.len());
    // A factory is called by a file that is made for it, where there is one.
    let factory = usize::from(entry.attribute.ends_with("()"));
    (factory, path.components().count() + usize::from(name == NAMES.len()) * 2, name)
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let aside = |part: &std::ffi::OsStr| {
        ["docs", "doc", "examples", "example", "scripts", "alembic", "static", "notebooks"]
            .iter()
            .any(|name| part == *name)
    };
    !name.starts_with("test_")
        && !["conftest.py", "setup.py", "noxfile.py"].contains(&name)
        && path.file_stem().and_then(|s| s.to_str()).is_some_and(is_identifier)
        && !path.parent().is_some_and(|dir| dir.iter().any(aside))
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn mentions_api(tree: &Tree, sources: &[&Path]) -> bool {
    sources.iter().any(|path| {
        let text = tree.text(path);
        text.contains("\"/api") || text.contains("'/api")
    })
}

/// Why several processes would each have their own part of what belongs together.
fn keeps_state(tree: &Tree, sources: &[&Path]) -> Option<String> {
    let sockets = sources.iter().any(|path| {
        let text = tree.text(path);
        ["WebSocket", "socketio", "flask_sock"].iter().any(|word| text.contains(word))
    });
    sockets.then(|| "it uses WebSockets, and what it keeps in memory is not shared between instances".to_owned())
}

/// Streamlit has no app object: it runs a script, with a server of its own.
fn streamlit(tree: &Tree, folder: &Path, sources: &[&Path]) -> Option<Part> {
    let script = sources.iter().find(|path| {
        tree.text(path).lines().any(|line| line.starts_with("import streamlit") || line.starts_with("from streamlit"))
    })?;
    let name = script.strip_prefix(folder).unwrap_or(script);
    let run = format!(
        ".venv/bin/streamlit run {} --server.port $PORT --server.address 127.0.0.1 --server.headless true",
        name.display()
    );
    let program = Program {
        start: Start::Run(run),
        keep_one: Some("a visitor's session lives in the memory of one instance".to_owned()),
        ..Program::default()
    };
    let part = Part::new(folder, format!("a Streamlit app ({})", code(name)), Serve::App(program));
    Some(match tree.has_folder(folder.join(".venv")) {
        true => part,
        false => part.todo(
            "Its packages belong in `.venv`: `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt`.",
        ),
    })
}
