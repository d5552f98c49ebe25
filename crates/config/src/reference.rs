//! `docs/reference.md`, from the shape.

use std::fmt::Write;

use crate::check::expected;
use crate::shape::{self, Key, Kind, Shape};

/// The reference of every key, as Markdown.
pub fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    let mut written: Vec<&'static str> = vec![shape::FILE.name];
    let mut open = vec![(String::new(), &shape::FILE)];
    while let Some((path, shape)) = open.pop() {
        section(&mut out, &path, shape);
        let mut inner = Vec::new();
        for key in shape.keys() {
            nested(&key.kind, &joined(&path, key.name), &mut |path, shape| {
                if !written.contains(&shape.name) {
                    written.push(shape.name);
                    inner.push((path, shape));
                }
            });
        }
        open.extend(inner.into_iter().rev());
    }
    out
}

const INTRODUCTION: &str = "\
# Reference of `doorstep.toml`

Made from the program by `doorstep schema --markdown`; what stands here is what it checks.

- **Texts** may have `${NAME}` (an environment variable) or `${NAME:-default}` in them; `$${` is `${` itself. An unset variable without default is an
  error. Commands (`run`, `pre_start`) are left to the shell.
- **Secrets** may stand in a file of their own: `\"file:secret.txt\"`.
- **Paths** are relative to the folder of the file that they stand in.
- **Durations**: `\"500ms\"`, `\"5s\"`, `\"2m\"`, `\"1h30m\"`, `\"7d\"`. **Sizes**: `\"10MB\"` (1000²), `\"10MiB\"` (1024²). **Rates**: `\"100/s\"`, `\"30/m\"`. **Bandwidth**:
  `\"2MB/s\"`, `\"16Mbit/s\"`.
- Where a list is possible, one value needs no brackets.
- **Routes** are asked from top to bottom; the first that matches answers, and the site's own `root`, `proxy`, `app` … takes the rest. Guards and filters of
  the site hold for all its routes, those of a route in addition.
- `doorstep check` says what is wrong with a file, all at once. `doorstep schema` prints a JSON Schema, with which editors complete and check.
";

fn section(out: &mut String, path: &str, shape: &'static Shape) {
    let title = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
    let _ = write!(out, "\n## {title}\n\n{}\n\n", plain(shape.about));
    out.push_str("| key | type | default | meaning | example |\n|---|---|---|---|---|\n");
    for key in shape.keys() {
        row(out, key);
    }
}

fn row(out: &mut String, key: &Key) {
    let default = if key.required { "required" } else { key.default };
    let cells = [
        format!("`{}`", key.name),
        kind(&key.kind),
        default.to_owned(),
        key.about.to_owned(),
        format!("`{}`", key.example),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| plain(cell).replace('|', "\\|")).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Map { key, value, .. } => format!("table `{key}` = {}", self::kind(value)),
        Kind::Integer(least, most) if *least != i64::MIN => format!("number, {least} to {most}"),
        Kind::Many(inner) => format!("{}, or a list", self::kind(inner)),
        Kind::List(inner) => format!("list of {}", self::kind(inner)),
        Kind::Either(kinds) => kinds.iter().map(self::kind).collect::<Vec<_>>().join(", or "),
        Kind::Table(shape) => format!("table [{0}](#{0})", shape.name),
        Kind::Secret(format) => format!("{} (secret)", format.name),
        Kind::Text(format) => format.name.to_owned(),
        other => expected(other),
    }
}

fn nested(kind: &'static Kind, path: &str, found: &mut dyn FnMut(String, &'static Shape)) {
    match kind {
        Kind::Table(shape) => found(path.to_owned(), shape),
        Kind::Many(kind) | Kind::List(kind) => nested(kind, path, found),
        Kind::Map { key, value, .. } => nested(value, &joined(path, key), found),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| nested(kind, path, found)),
        _ => {}
    }
}

fn joined(path: &str, key: &str) -> String {
    let key = if key == "NAME" && path == "site" { "\"NAME\"" } else { key };
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn plain(text: &str) -> String {
    text.replace('\n', " ")
}
