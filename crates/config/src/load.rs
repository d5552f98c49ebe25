//! The file and those it includes, as one tree, checked against the shape.

use std::path::PathBuf;

use toml::de::DeTable;

use crate::check;
use crate::context::{Context, File, SYNTAX};
use crate::shape;
use crate::tree::{Entry, Place, Table, Value, grow};

/// The tree of everything; `None` if it is broken in its syntax, which is reported.
pub(crate) fn load(context: &mut Context<'_>) -> Option<Table> {
    let root = context.sources.root.clone();
    let text = match context.read(&root) {
        Ok(read) => read,
        Err(reason) => {
            context
                .error_nowhere("unreadable-file", format!("{} cannot be read: {reason}", root.display()))
                .help("`doorstep init` writes a file to start with");
            return None;
        }
    };
    let mut file = grow_file(context, root, text);
    for (path, named) in included(context, &file) {
        match context.read(&path) {
            Ok(read) => {
                let further = grow_file(context, path, read);
                merge(context, &mut file, further);
            }
            Err(reason) => {
                context
                    .error("unreadable-file", &named, format!("the included file cannot be read: {reason}"))
                    .note(format!("relative paths start at the folder of the file they stand in: {}", path.display()));
            }
        }
    }
    let malformed = context.files.iter().any(|file| file.malformed);
    check::file(context, &mut file, &shape::FILE);
    (!malformed).then_some(file)
}

fn grow_file<'s>(context: &mut Context<'s>, path: PathBuf, (text, world_readable): (&'s str, bool)) -> Table {
    let number = context.files.len();
    // Editors of other systems put a mark in front, which counts as nothing.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    context.files.push(File { path, text, world_readable, warned: false, malformed: !errors.is_empty() });
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let (message, help) = explained(&message);
        let draft = context.error(SYNTAX, &Place { file: number, span }, message);
        if !help.is_empty() {
            draft.help(help);
        }
    }
    grow(table.get_ref(), number)
}

/// What the parser says, in other words where these help more.
fn explained(message: &str) -> (String, &'static str) {
    let help = if message.contains("duplicate key") {
        "every name can be there only once; put all that belongs to it in one place"
    } else if message.contains("string values must be quoted") {
        "texts stand in quotes: \"like this\""
    } else if message.contains("invalid basic string, expected `\"`") {
        "a text that begins with `\"` ends with `\"`, in the same line"
    } else if message.contains("invalid basic string") || message.contains("missing escaped value") {
        "a text in '…' is taken as it is, without meaning of `\\`"
    } else {
        ""
    };
    (format!("this is not TOML: {message}"), help)
}

/// Paths that the main file includes, each once, with the place that names it.
fn included(context: &mut Context<'_>, file: &Table) -> Vec<(PathBuf, Place)> {
    let mut paths: Vec<(PathBuf, Place)> = Vec::new();
    let Some(entry) = file.entries.iter().find(|entry| entry.key == "include") else { return paths };
    for node in entry.node.each() {
        let Some(text) = node.text().map(str::to_owned) else { continue };
        let Ok(text) = check::filled(context, node, &text) else { continue };
        if text.trim().is_empty() {
            continue;
        }
        let path = context.path(node, &text);
        let wild = path.file_name().is_some_and(|name| name.to_string_lossy().contains(['*', '?', '[']));
        if path.parent().is_some_and(|folder| folder.to_string_lossy().contains(['*', '?'])) {
            context
                .error("bad-include", &node.place, "`*` and `?` may stand in the last part of a path only")
                .help("name each folder: include = [\"a/*.toml\", \"b/*.toml\"]");
            continue;
        }
        let found = if wild { context.matching(&path) } else { vec![path] };
        if found.is_empty() {
            context.warning("empty-include", &node.place, format!("no file matches `{}`", node.raw()));
        }
        for path in found {
            if path == context.sources.root {
                continue;
            }
            if !paths.iter().any(|(known, _)| *known == path) {
                paths.push((path, node.place.clone()));
            }
        }
    }
    paths
}

/// Adds what an included file says. Sites, apps and jobs come together; everything else can be said once.
fn merge(context: &mut Context<'_>, file: &mut Table, further: Table) {
    for entry in further.entries {
        if entry.key == "include" {
            context
                .error("bad-include", &entry.place, "an included file cannot include others")
                .help("name all files in the main file; `*` stands for any part of a name");
            continue;
        }
        let Some(known) = file.entries.iter_mut().find(|known| known.key == entry.key) else {
            file.entries.push(entry);
            continue;
        };
        match (&mut known.node.value, entry.node.value) {
            (Value::Table(known), Value::Table(more)) if matches!(entry.key.as_str(), "site" | "app" | "job") => {
                for named in more.entries {
                    merge_named(context, known, named, &entry.key);
                }
            }
            _ => {
                let message = format!("`{}` is said in two files", entry.key);
                context.error("said-twice", &entry.place, message).also(&known.place, "here first");
            }
        }
    }
}

fn merge_named(context: &mut Context<'_>, known: &mut Table, named: Entry, what: &str) {
    match known.entries.iter().find(|other| other.key == named.key) {
        None => known.entries.push(named),
        Some(other) => {
            let message = format!("there are two {what}s with the name `{}`", named.key);
            context.error("said-twice", &named.place, message).label("again").also(&other.place, "the first");
        }
    }
}
