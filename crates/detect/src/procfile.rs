//! Procfiles (Heroku, Foreman): `web: command`, and others.

use std::path::Path;

use crate::found::{Part, Program, Serve, Start};
use crate::tree::Tree;
use crate::words::code;

/// Lets the Procfile of `folder` say how what `found` recognised is started, and adds its other programs.
pub fn look(tree: &Tree, folder: &Path, found: Option<Part>) -> Vec<Part> {
    let lines = lines(&tree.text(folder.join("Procfile")));
    let mut parts = Vec::new();
    match lines.iter().find(|(name, _)| name == "web") {
        Some((_, command)) => parts.push(web(folder, command, found)),
        None => parts.extend(found),
    }
    for (name, command) in &lines {
        match (name.as_str(), parts.first_mut().map(|part| &mut part.serve)) {
            ("web", _) => {}
            ("release", Some(Serve::App(program))) => program.pre_start = vec![command.clone()],
            ("release", _) => {}
            (name, _) => parts.push(Part::new(
                folder,
                format!("a program that does not listen (`{name}` of {})", code("Procfile")),
                Serve::Worker(Program {
                    name: Some(name.to_owned()),
                    start: Start::Run(command.clone()),
                    ..Program::default()
                }),
            )),
        }
    }
    parts
}

fn web(folder: &Path, command: &str, found: Option<Part>) -> Part {
    let start = python_entry(command).map_or_else(|| Start::Run(command.to_owned()), Start::Python);
    let is_python = matches!(start, Start::Python(_));
    let mut part = match found {
        Some(Part { folder, what, serve: Serve::App(program), assumed, todo }) => {
            let what = format!("{what}, started as its {} says", code("Procfile"));
            Part { folder, what, serve: Serve::App(Program { start, ..program }), assumed, todo }
        }
        _ => Part::new(
            folder,
            format!("a program (`web` of {})", code("Procfile")),
            Serve::App(Program { start, ..Program::default() }),
        ),
    };
    if is_python {
        part = part.assuming(format!(
            "doorstep starts {} itself: its options are left out, and `instances` stands for its workers.",
            code(server(command))
        ));
    } else if !command.contains("PORT") {
        part = part.assuming("It listens on the port in $PORT, although its Procfile does not mention it.");
    }
    part
}

/// The entry of `gunicorn … module:app` or `uvicorn … module:app`.
fn python_entry(command: &str) -> Option<String> {
    if !["gunicorn", "uvicorn", "hypercorn", "daphne"].contains(&server(command)) {
        return None;
    }
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    command.split_whitespace().skip(1).map(|word| word.trim_matches(['"', '\''])).find_map(|word| {
        let (module, attribute) = word.split_once(':')?;
        let plain = attribute.strip_suffix("()").unwrap_or(attribute);
        (is_name(module) && is_name(plain) && !module.starts_with(|c: char| c.is_ascii_digit()))
            .then(|| word.to_owned())
    })
}

fn server(command: &str) -> &str {
    let mut words = command.split_whitespace().filter(|word| !["exec", "poetry", "uv", "run", "pipenv"].contains(word));
    words.next().unwrap_or_default()
}

fn lines(text: &str) -> Vec<(String, String)> {
    let parse = |line: &str| {
        let (name, command) = line.split_once(':')?;
        let (name, command) = (name.trim(), command.trim());
        let is_name = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        (is_name && !command.is_empty() && !line.starts_with('#')).then(|| (name.to_owned(), command.to_owned()))
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_python_servers() {
        for (command, entry) in [
            ("gunicorn shop.wsgi:application --workers 3", Some("shop.wsgi:application")),
            ("gunicorn -b 0.0.0.0:$PORT 'shop:create_app()'", Some("shop:create_app()")),
            ("uvicorn main:app --host 0.0.0.0 --port ${PORT:-8000}", Some("main:app")),
            ("exec gunicorn app:app", Some("app:app")),
            ("gunicorn -b 127.0.0.1:8000 app", None),
            ("node server.js", None),
            ("python app.py", None),
        ] {
            assert_eq!(python_entry(command).as_deref(), entry, "{command}");
        }
    }

    #[test]
    fn lines_of_a_procfile() {
        assert_eq!(lines("# a: b\nweb: x y\nbad line\n: z\nq:\n"), [("web".to_owned(), "x y".to_owned())]);
    }
}
