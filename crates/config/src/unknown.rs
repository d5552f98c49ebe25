//! Keys that nobody knows: what might be meant.

use crate::context::Context;
use crate::mask::is_secret_name;
use crate::shape::{self, Shape};
use crate::suggest::nearest;
use crate::tree::{Entry, Node, Value};

/// Words of other programs, and ours.
const ELSEWHERE: &[(&str, &str)] = &[
    ("proxy_pass", "proxy"),
    ("reverse_proxy", "proxy"),
    ("upstream", "proxy"),
    ("upstreams", "proxy"),
    ("backend", "proxy"),
    ("document_root", "root"),
    ("file_server", "root"),
    ("folder", "root"),
    ("static", "root"),
    ("server_name", "aliases"),
    ("hosts", "aliases"),
    ("tls", "certificate"),
    ("ssl", "certificate"),
    ("cert", "certificate"),
    ("ssl_certificate", "certificate"),
    ("basic_auth", "password"),
    ("basicauth", "password"),
    ("auth", "password"),
    ("users", "password"),
    ("encode", "compression"),
    ("gzip", "compression"),
    ("autoindex", "listing"),
    ("browse", "listing"),
    ("client_max_body_size", "max_body"),
    ("rate_limit", "rate"),
    ("limit_req", "rate"),
    ("return", "respond"),
    ("location", "route"),
    ("locations", "route"),
    ("routes", "route"),
    ("response_headers", "headers"),
    ("add_header", "headers"),
    ("command", "run"),
    ("cmd", "run"),
    ("exec", "run"),
    ("start", "run"),
    ("directory", "dir"),
    ("cwd", "dir"),
    ("working_directory", "dir"),
    ("workdir", "dir"),
    ("workers", "instances"),
    ("processes", "instances"),
    ("replicas", "instances"),
    ("environment", "env"),
    ("depends_on", "after"),
    ("schedule", "cron"),
    ("interval", "every"),
    ("sites", "site"),
    ("server", "site"),
    ("apps", "app"),
    ("jobs", "job"),
    ("acme", "issuers"),
    ("ca", "issuers"),
    ("issuer", "issuers"),
    ("path_regex", "regex"),
    ("method", "methods"),
    ("lb_policy", "balance"),
    ("health_check", "health"),
];

/// Reports the key of `entry`, which `shape` does not have; `there` are the keys that stand beside it.
pub(crate) fn report(context: &mut Context<'_>, entry: &Entry, shape: &'static Shape, there: &[String]) {
    let key = entry.key.as_str();
    let meant = nearest(key, shape.keys().map(|key| key.name)).or_else(|| {
        let ours = ELSEWHERE.iter().find(|(word, _)| word.eq_ignore_ascii_case(key)).map(|(_, ours)| *ours)?;
        shape.key(ours).map(|key| key.name)
    });
    let hide = is_secret_name(key) || meant.and_then(|meant| shape.key(meant)).is_some_and(|key| key.kind.has_secret());
    if hide {
        hide_texts(context, &entry.node);
    }
    if shape.name == "site" && meant.is_none() && matches!(entry.node.value, Value::Table(_)) {
        return unquoted(context, entry);
    }
    let draft = context.error("unknown-key", &entry.place, format!("there is no `{key}` {}", place_of(shape)));
    if let Some(meant) = meant {
        if there.iter().any(|known| known == meant) {
            draft.note(format!("`{meant}` is there already"));
        }
        draft.meant(Some(meant));
        return;
    }
    let elsewhere: Vec<&str> = [
        &shape::FILE,
        shape::site(),
        shape::route(),
        shape::app(),
        shape::job(),
        shape::daemon(),
        shape::listen(),
        shape::relay(),
        shape::tunnel(),
        shape::public(),
    ]
    .into_iter()
    .filter(|other| other.key(key).is_some())
    .map(place_of)
    .collect();
    if elsewhere.is_empty() {
        let names: Vec<&str> = shape.keys().map(|key| key.name).collect();
        draft.note(format!("there are {}", names.join(", ")));
    } else {
        draft.note(format!("there is one {}", elsewhere.join(" and ")));
    }
}

/// `[site.blog.example.com]` is a site `blog` with a table `example` in it.
fn unquoted(context: &mut Context<'_>, entry: &Entry) {
    let text = context.files.get(entry.place.file).map_or("", |file| file.text);
    let before = text.get(..entry.place.span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let header = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let name = header.trim_start_matches(['[', ' ']).strip_prefix("site.").and_then(|rest| rest.split(']').next());
    let name = name.map_or("blog.example.com", |name| name.trim_end_matches(".route"));
    context
        .error("unquoted-name", &entry.place, "the name of a site stands in quotes")
        .note("without them, each dot begins another table")
        .help(format!("[site.\"{}\"]", name.replace('"', "")));
}

fn place_of(shape: &'static Shape) -> &'static str {
    match shape.name {
        "file" => "at the top of the file",
        "site" => "in a site (`[site.\"NAME\"]`)",
        "route" => "in a route (`[[site.\"NAME\".route]]`)",
        "app" => "in an app (`[app.NAME]`)",
        "job" => "in a job (`[job.NAME]`)",
        "daemon" => "in `[daemon]`",
        "listen" => "in `[listen]`",
        "log" => "in `[log]`",
        _ => "here",
    }
}

/// No snippet shows the texts in `node`.
pub(crate) fn hide_texts(context: &mut Context<'_>, node: &Node) {
    match &node.value {
        Value::Text(_) => context.secrets.push(node.place.clone()),
        Value::List(nodes) => nodes.iter().for_each(|node| hide_texts(context, node)),
        Value::Table(table) => table.entries.iter().for_each(|entry| hide_texts(context, &entry.node)),
        _ => {}
    }
}
