//! Every key and type against the shape; variables filled in; secrets found.

use crate::context::Context;
use crate::mask::is_secret_name;
use crate::shape::format::{DURATION, Format, HASH, TEXT};
use crate::shape::{Key, Kind, Shape};
use crate::suggest::nearest;
use crate::tree::{Node, Place, Table, Value};
use crate::unknown;

/// Reports whatever in `table` is not as `shape` has it, and marks it as bad.
pub(crate) fn file(context: &mut Context<'_>, table: &mut Table, shape: &'static Shape) {
    let start = Place { file: 0, span: 0..0 };
    check_table(context, table, shape, &start);
}

fn check_table(context: &mut Context<'_>, table: &mut Table, shape: &'static Shape, place: &Place) {
    let keys: Vec<String> = table.entries.iter().map(|entry| entry.key.clone()).collect();
    for entry in &mut table.entries {
        match shape.key(&entry.key) {
            Some(key) => {
                let asked = Asked { name: key.name, key };
                check_node(context, &mut entry.node, &key.kind, asked);
            }
            None => {
                entry.node.bad = true;
                unknown::report(context, entry, shape, &keys);
            }
        }
    }
    let malformed = context.files.get(place.file).is_some_and(|file| file.malformed);
    for key in shape.keys().filter(|key| key.required && !malformed) {
        if !table.has(key.name) {
            context
                .error("missing-key", place, format!("`{}` is missing", key.name))
                .note(key.about)
                .help(format!("for example: {}", key.example));
        }
    }
}

/// What a value is the value of.
#[derive(Clone, Copy)]
struct Asked<'k> {
    /// The key itself, or a name in its table.
    name: &'k str,
    key: &'static Key,
}

fn check_node(context: &mut Context<'_>, node: &mut Node, kind: &'static Kind, key: Asked<'_>) {
    match (kind, &mut node.value) {
        (Kind::Text(format), Value::Text(_)) => check_text(context, node, format, key),
        (Kind::Secret(format), Value::Text(_)) => check_secret(context, node, format, key),
        (Kind::Shell, Value::Text(text)) => {
            if text.raw.trim().is_empty() || text.raw.contains('\0') {
                context.error("empty", &node.place, format!("`{}` is empty", key.name));
                node.bad = true;
            }
        }
        (Kind::Bool, Value::Bool(_)) => {}
        (Kind::Integer(least, most), Value::Integer(number)) => {
            let number = *number;
            if !(*least..=*most).contains(&number) {
                let message = format!("`{}` cannot be {number}", key.name);
                context.error("out-of-range", &node.place, message).label(format!("must be from {least} to {most}"));
                node.bad = true;
            }
        }
        (Kind::Word(words), Value::Text(text)) => {
            if !words.contains(&text.raw.as_str()) {
                let raw = text.raw.clone();
                wrong_word(context, node, &raw, words, key);
            }
        }
        (Kind::Many(kind) | Kind::List(kind), Value::List(nodes)) => {
            for node in nodes {
                check_node(context, node, kind, key);
            }
        }
        (Kind::Many(kind), _) => check_node(context, node, kind, key),
        (Kind::Table(shape), Value::Table(table)) => {
            let place = node.place.clone();
            check_table(context, table, shape, &place);
        }
        (Kind::Map { names, value, .. }, Value::Table(table)) => check_map(context, table, names, value, key),
        (Kind::Either(kinds), _) => match chosen(kinds, node) {
            Some(kind) => check_node(context, node, kind, key),
            None => wrong_type(context, node, kind, key),
        },
        _ => wrong_type(context, node, kind, key),
    }
}

fn check_map(
    context: &mut Context<'_>,
    table: &mut Table,
    names: &'static Format,
    value: &'static Kind,
    key: Asked<'_>,
) {
    for entry in &mut table.entries {
        if let Err(why) = (names.check)(&entry.key) {
            let why = if why.is_empty() { why } else { format!(": {why}") };
            let message = format!("`{}` is not {}{why}", entry.key, names.name);
            context.error("bad-name", &entry.place, message);
            entry.node.bad = true;
        }
        let secret = is_secret_name(&entry.key) || key.key.name == "dns";
        if secret && entry.key != "provider" && matches!(entry.node.value, Value::Text(_)) && holds_secrets(value) {
            warn_if_readable(context, &entry.node);
        }
        let asked = Asked { name: &entry.key, ..key };
        // Among the secrets in its table it is none, and is shown where it is wrong.
        let value = if key.key.name == "dns" && entry.key == "provider" { &Kind::Text(&TEXT) } else { value };
        check_node(context, &mut entry.node, value, asked);
    }
}

fn holds_secrets(kind: &Kind) -> bool {
    match kind {
        Kind::Secret(format) => format.name != HASH.name,
        Kind::Either(kinds) => kinds.iter().any(holds_secrets),
        _ => false,
    }
}

/// The first alternative for the type of value that `node` is; a word only if it is one of these and a text will not do.
fn chosen(kinds: &'static [Kind], node: &Node) -> Option<&'static Kind> {
    let fits = |kind: &&Kind| match (kind, &node.value) {
        (Kind::Word(words), Value::Text(text)) => words.contains(&text.raw.as_str()),
        (kind, _) => takes(kind, node),
    };
    kinds.iter().find(fits).or_else(|| kinds.iter().find(|kind| takes(kind, node)))
}

fn takes(kind: &Kind, node: &Node) -> bool {
    match (kind, &node.value) {
        (Kind::Text(_) | Kind::Shell | Kind::Secret(_) | Kind::Word(_), Value::Text(_))
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Integer(..), Value::Integer(_))
        | (Kind::List(_) | Kind::Many(_), Value::List(_))
        | (Kind::Table(_) | Kind::Map { .. }, Value::Table(_)) => true,
        (Kind::Many(kind), _) => takes(kind, node),
        (Kind::Either(kinds), _) => kinds.iter().any(|kind| takes(kind, node)),
        _ => false,
    }
}

fn check_text(context: &mut Context<'_>, node: &mut Node, format: &'static Format, key: Asked<'_>) {
    let raw = node.raw().to_owned();
    let Ok(filled) = filled(context, node, &raw) else {
        node.bad = true;
        return;
    };
    if let Err(why) = (format.check)(&filled) {
        let message = if raw.is_empty() {
            format!("`{}` is empty, not {}", key.name, format.name)
        } else if filled != raw {
            // The value of a variable may be a secret.
            format!("`{raw}` with its variables filled in is not {}", format.name)
        } else if why.is_empty() {
            format!("`{raw}` is not {}", format.name)
        } else {
            format!("`{raw}` is not {}: {why}", format.name)
        };
        context.error("bad-value", &node.place, message).help(format!("for example: {}", key.key.example));
        node.bad = true;
    }
    if let Value::Text(text) = &mut node.value {
        text.filled = Some(filled);
    }
}

fn check_secret(context: &mut Context<'_>, node: &mut Node, format: &'static Format, key: Asked<'_>) {
    context.secrets.push(node.place.clone());
    let raw = node.raw().to_owned();
    if key.name == "hmac_key" {
        warn_if_readable(context, node);
    }
    let Ok(mut filled) = filled(context, node, &raw) else {
        node.bad = true;
        return;
    };
    if let Some(path) = filled.strip_prefix("file:") {
        let path = context.path(node, path);
        let Some((text, world_readable)) = context.named_file(node, &path) else {
            node.bad = true;
            return;
        };
        if world_readable && format.name != HASH.name {
            context
                .warning("readable-secret", &node.place, "anybody on this computer can read this secret")
                .help(format!("chmod 600 {}", path.display()));
        }
        text.trim_end_matches(['\n', '\r']).clone_into(&mut filled);
    }
    if let Err(why) = (format.check)(&filled) {
        let draft = context.error("bad-secret", &node.place, why);
        if format.name == HASH.name {
            draft.help("`doorstep hash-password` asks for a password and prints its hash");
        }
        node.bad = true;
    }
    if let Value::Text(text) = &mut node.value {
        text.filled = Some(filled);
    }
}

/// Once for each file: a secret stands in it, and anybody may read it.
fn warn_if_readable(context: &mut Context<'_>, node: &Node) {
    let elsewhere = node.raw().starts_with("file:") || node.raw().contains("${");
    let Some(file) = context.files.get_mut(node.place.file) else { return };
    if elsewhere || !file.world_readable || std::mem::replace(&mut file.warned, true) {
        return;
    }
    let path = file.path.display().to_string();
    context
        .warning("readable-secret", &node.place, "a secret stands in a file that anybody on this computer can read")
        .help(format!("chmod 640 {path}, or `\"file:secret.txt\"`, or `\"${{VARIABLE}}\"`"));
}

/// `text` with `${NAME}` and `${NAME:-default}` filled in; `$${` stands for `${` itself. Reports what is not set.
pub(crate) fn filled(context: &mut Context<'_>, node: &Node, text: &str) -> Result<String, ()> {
    let mut out = String::new();
    let mut rest = text;
    let mut missing = false;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let after = &after[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            context
                .error("bad-variable", &node.place, "a `${` is not closed by `}`")
                .help("write `$${` for the characters themselves");
            return Err(());
        };
        rest = after;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if crate::text::env_file::name_of_variable(name).is_err() {
            context
                .error("bad-variable", &node.place, "between `${` and `}` stands the name of an environment variable")
                .help("write `$${` for the characters themselves");
            return Err(());
        }
        match context.variable(name).filter(|value| !value.is_empty() || default.is_none()).or(default) {
            Some(value) => out.push_str(value),
            None => {
                missing = true;
                context
                    .error("unset-variable", &node.place, format!("the environment variable `{name}` is not set"))
                    .help(format!("set it where doorstep is started, or give a default: ${{{name}:-default}}"));
            }
        }
    }
    out.push_str(rest);
    if missing { Err(()) } else { Ok(out) }
}

fn wrong_word(context: &mut Context<'_>, node: &mut Node, raw: &str, words: &[&str], key: Asked<'_>) {
    node.bad = true;
    let all: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    context
        .error("bad-value", &node.place, format!("`{}` cannot be \"{raw}\"", key.name))
        .note(format!("it can be {}", either(&all)))
        .meant(nearest(raw, words.iter().copied()));
}

fn wrong_type(context: &mut Context<'_>, node: &mut Node, kind: &'static Kind, key: Asked<'_>) {
    node.bad = true;
    let got = node.type_name();
    let help = match (kind, &node.value) {
        (Kind::Bool | Kind::Integer(..), Value::Text(text)) if !is_secret_name(key.name) => {
            format!("without quotes: {} = {}", key.name, text.raw)
        }
        (Kind::Text(format), Value::Integer(number)) if is_duration(format) => {
            format!("say the unit: {} = \"{number}s\"", key.name)
        }
        (Kind::Text(_) | Kind::Word(_), Value::Integer(number)) => format!("in quotes: {} = \"{number}\"", key.name),
        (Kind::List(_), Value::Table(_)) => format!("a list of tables has double brackets: [[… .{}]]", key.name),
        (Kind::Map { .. }, Value::List(_)) => format!("single brackets, and a name: [{}.\"name\"]", key.name),
        _ => format!("for example: {}", key.key.example),
    };
    if kind.has_secret() || is_secret_name(key.name) {
        unknown::hide_texts(context, node);
    }
    context
        .error("wrong-type", &node.place, format!("`{}` must be {}, not {got}", key.name, expected(kind)))
        .help(help);
}

fn is_duration(format: &Format) -> bool {
    format.name == DURATION.name
}

/// What is expected, in words.
pub(crate) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Text(format) | Kind::Secret(format) => format!("{} such as {}", format.name, format.example),
        Kind::Shell => "a command in quotes".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Integer(..) => "a whole number".to_owned(),
        Kind::Word(words) => either(&words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>()),
        Kind::List(_) => "a list".to_owned(),
        Kind::Many(kind) => format!("{}, or a list of these", expected(kind)),
        Kind::Table(_) => "a table".to_owned(),
        Kind::Map { .. } => "a table of names and values".to_owned(),
        Kind::Either(kinds) => either(&kinds.iter().map(expected).collect::<Vec<_>>()),
    }
}

fn either(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
