//! What is altered on the way.

use std::time::Duration;

use doorstep_model::{Compression, CorsPolicy, ErrorPage, Filters, HeaderEdit, Hsts, Rewrite};

use super::{Captures, template};
use crate::context::Context;
use crate::text::{path, quantity};
use crate::tree::{Node, Table};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Bodies below this are not worth the work.
const COMPRESS_FROM: u64 = 1000;

/// Fields that belong to the connection or that doorstep decides about.
const NOT_TO_EDIT: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The filters that `table` names, where templates may name `captures`.
pub(super) fn filters(context: &mut Context<'_>, table: &Table, captures: &Captures) -> Filters {
    Filters {
        max_body: table.size("max_body"),
        cors: table.get("cors").and_then(|node| cors(context, node)),
        strip_prefix: strip_prefix(context, table),
        rewrite: table.each("rewrite").filter_map(|node| rewrite(context, node)).collect(),
        request_headers: edits(context, table, "request_headers", captures),
        response_headers: edits(context, table, "headers", captures),
        hsts: hsts(context, table),
        compression: compression(table),
        error_pages: error_pages(context, table),
    }
}

/// `404`, `5xx`, or several with commas.
pub(crate) fn statuses(text: &str) -> Result<Vec<u16>, String> {
    text.split(',')
        .map(|part| match part.trim() {
            "4xx" => Ok(4),
            "5xx" => Ok(5),
            part => match part.parse() {
                Ok(status @ 400..=599) => Ok(status),
                _ => Err("there are 400 to 599, `4xx` and `5xx`".to_owned()),
            },
        })
        .collect()
}

fn strip_prefix(context: &mut Context<'_>, table: &Table) -> Option<String> {
    let node = table.get("strip_prefix")?;
    let prefix = node.text()?.trim_end_matches('/');
    if prefix.is_empty() || prefix.contains(['*', '?']) {
        context
            .error("bad-value", &node.place, format!("`{}` is not a prefix", node.raw()))
            .note("it is taken off literally; there is no `*` in it")
            .help("strip_prefix = \"/api\"");
        return None;
    }
    Some(prefix.to_owned())
}

fn rewrite(context: &mut Context<'_>, node: &Node) -> Option<Rewrite> {
    let table = node.table()?;
    let (from, to) = (table.text("from"), table.get("to"));
    let from = from?;
    let captures = path::regex(from).map(|regex| path::captures_of(&regex)).ok()?;
    let to_node = to?;
    let to = template(context, to_node, &captures)?;
    if !to.0.starts_with(['/', '{']) {
        context
            .error("bad-value", &to_node.place, "the new path begins with `/`")
            .help(format!("to = \"/{}\"", to_node.raw()));
    }
    Some(Rewrite { from: from.to_owned(), to })
}

fn edits(context: &mut Context<'_>, table: &Table, key: &str, captures: &Captures) -> Vec<HeaderEdit> {
    let Some(fields) = table.table(key) else { return Vec::new() };
    let mut edits = Vec::new();
    for entry in fields.iter() {
        let name = entry.key.to_ascii_lowercase();
        if NOT_TO_EDIT.contains(&name.as_str()) {
            context.error(
                "bad-name",
                &entry.place,
                format!("`{}` cannot be changed: it is about the connection itself", entry.key),
            );
            continue;
        }
        let node = &entry.node;
        if let Some(table) = node.table() {
            let (add, default) = (table.get("add"), table.get("default"));
            if add.is_some() == default.is_some() && !table.entries.iter().any(|entry| entry.node.bad) {
                context
                    .error("bad-header", &node.place, "one of `add` and `default` is needed")
                    .help("a text alone sets the field");
            }
            edits.extend(
                add.and_then(|node| template(context, node, captures)).map(|to| HeaderEdit::Add(name.clone(), to)),
            );
            edits.extend(
                default.and_then(|node| template(context, node, captures)).map(|to| HeaderEdit::Default(name, to)),
            );
        } else if node.bool() == Some(false) {
            edits.push(HeaderEdit::Remove(name));
        } else if node.bool() == Some(true) {
            context
                .error("bad-header", &node.place, "a field is set to a text, or removed by `false`")
                .help(format!("{} = \"…\"", entry.key));
        } else {
            edits.extend(template(context, node, captures).map(|to| HeaderEdit::Set(name, to)));
        }
    }
    edits
}

fn hsts(context: &mut Context<'_>, table: &Table) -> Option<Hsts> {
    let node = table.get("hsts")?;
    if node.bool() == Some(false) {
        return None;
    }
    let options = node.table();
    let max_age = node
        .text()
        .and_then(|text| quantity::duration(text).ok())
        .or_else(|| options.and_then(|table| table.duration("max_age")))
        .unwrap_or(YEAR);
    let on = |key: &str| options.and_then(|table| table.bool(key)).unwrap_or(false);
    let hsts = Hsts { max_age, include_subdomains: on("subdomains"), preload: on("preload") };
    if hsts.preload && (hsts.max_age < YEAR || !hsts.include_subdomains) {
        context
            .error("bad-hsts", &node.place, "browsers preload only sites with `subdomains` and a `max_age` of a year")
            .help("hsts = { max_age = \"365d\", subdomains = true, preload = true }");
    }
    Some(hsts)
}

fn compression(table: &Table) -> Option<Compression> {
    let node = table.get("compression")?;
    if node.bool() == Some(false) {
        return None;
    }
    let all = || ["zstd", "br", "gzip"].map(str::to_owned).to_vec();
    let options = node.table();
    let codings = match (options, node.bool()) {
        (Some(table), _) => table.texts("codings"),
        (None, Some(_)) => all(),
        (None, None) => node.each().filter_map(Node::text).map(str::to_owned).collect(),
    };
    let min_bytes = options.and_then(|table| table.size("min")).unwrap_or(COMPRESS_FROM);
    Some(Compression { codings: if codings.is_empty() { all() } else { codings }, min_bytes })
}

fn cors(context: &mut Context<'_>, node: &Node) -> Option<CorsPolicy> {
    if node.bool() == Some(false) {
        return None;
    }
    let options = node.table();
    let origins: Vec<String> = match (options, node.bool()) {
        (Some(table), _) => table.texts("origins"),
        (None, Some(_)) => vec!["*".to_owned()],
        (None, None) => node.each().filter_map(Node::text).map(str::to_owned).collect(),
    };
    let texts = |key: &str| options.map(|table| table.texts(key)).unwrap_or_default();
    let mut methods: Vec<String> = texts("methods").iter().map(|method| method.to_ascii_uppercase()).collect();
    if methods.is_empty() {
        methods = ["GET", "HEAD", "POST"].map(str::to_owned).to_vec();
    }
    let everybody = origins.iter().any(|origin| origin == "*");
    let credentials = options.and_then(|table| table.bool("credentials")).unwrap_or(false);
    if everybody && credentials {
        context
            .error(
                "bad-cors",
                &node.place,
                "everybody with credentials: every page on the web could act as your visitors",
            )
            .help("name the origins: origins = [\"https://app.example.com\"]");
    }
    if everybody && origins.len() > 1 {
        context.error("bad-cors", &node.place, "`*` is everybody; further origins add nothing");
    }
    Some(CorsPolicy {
        origins,
        methods,
        headers: options.map(|table| table.lower_texts("headers")).unwrap_or_default(),
        expose: options.map(|table| table.lower_texts("expose")).unwrap_or_default(),
        credentials,
        max_age: options.and_then(|table| table.duration("max_age")).unwrap_or(Duration::from_secs(600)),
    })
}

fn error_pages(context: &mut Context<'_>, table: &Table) -> Vec<ErrorPage> {
    let Some(pages) = table.table("error_pages") else { return Vec::new() };
    let mut read = Vec::new();
    for entry in pages.iter() {
        let (Ok(statuses), Some(text)) = (statuses(&entry.key), entry.node.text()) else { continue };
        let file = context.path(&entry.node, text);
        if let Some((html, _)) = context.named_file(&entry.node, &file) {
            read.push(ErrorPage { statuses, file, html: html.to_owned() });
        }
    }
    // Exact statuses before whole classes: the first match decides.
    read.sort_by_key(|page| page.statuses.iter().any(|status| *status < 10));
    read
}
