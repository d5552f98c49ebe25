//! Routes and what they match.

use doorstep_model::{App, FieldMatcher, Guards, Matcher, PathMatcher, Route, ValueMatcher};

use super::action::{self, Action};
use super::{filters, guards};
use crate::context::Context;
use crate::text::path;
use crate::tree::{Node, Table};

/// One route for each path of it.
pub(super) fn routes(context: &mut Context<'_>, node: &Node, table: &Table, apps: &[App], site: &str) -> Vec<Route> {
    let paths = paths(context, table);
    let methods = table.texts("methods").iter().map(|method| method.to_ascii_uppercase()).collect();
    let matcher = Matcher {
        path: PathMatcher::Any,
        methods,
        headers: fields(table, "header", true),
        query: fields(table, "query", false),
    };
    // A template must make sense for each of the paths.
    let captures = paths.iter().map(path::captures).min_by_key(|(count, names)| (*count, names.len()));
    let captures = captures.unwrap_or_default();
    let action = match action::action(context, table, apps, &captures) {
        Action::Some(action) => Some(*action),
        Action::Bad => None,
        Action::None if table.entries.iter().any(|entry| entry.node.bad) => None,
        Action::None => {
            context
                .error("nothing-to-answer", &node.place, "nothing says what this route answers")
                .note("one of root, file, proxy, app, redirect, respond and maintenance is needed");
            None
        }
    };
    let guards = guards::guards(context, table, site);
    warn_of_open_doors(context, table, &guards);
    let filters = filters::filters(context, table, &captures);
    let Some(action) = action else { return Vec::new() };
    paths
        .into_iter()
        .map(|path| Route {
            matcher: Matcher { path, ..matcher.clone() },
            action: action.clone(),
            guards: guards.clone(),
            filters: filters.clone(),
        })
        .collect()
}

/// `/admin/*` is what lies beneath `/admin`, and not `/admin` itself, which an app answers all the same.
fn warn_of_open_doors(context: &mut Context<'_>, table: &Table, guards: &Guards) {
    let guarded = guards.password.is_some()
        || guards.logins.is_some()
        || guards.forward_auth.is_some()
        || !guards.allow.is_empty()
        || !guards.deny.is_empty();
    let Some(entry) = table.entry("path").filter(|_| guarded) else { return };
    let texts = table.texts("path");
    let beneath = |text: &str| {
        text.strip_suffix("/*").or(text.strip_suffix("/**")).filter(|base| !base.is_empty()).map(str::to_owned)
    };
    for base in texts.iter().filter_map(|text| beneath(text)) {
        let covered = texts.iter().any(|text| *text == base || *text == format!("{base}/"));
        if !covered {
            context
                .warning("open-door", &entry.node.place, format!("`{base}` itself is not guarded by this"))
                .note("a pattern that ends in `/*` matches what lies beneath, and not the path without it")
                .help(format!("path = \"{base}/\" is both"));
        }
    }
}

fn paths(context: &mut Context<'_>, table: &Table) -> Vec<PathMatcher> {
    if let (Some(path), Some(regex)) = (table.entry("path"), table.entry("regex")) {
        context
            .error("two-paths", &regex.place, "a route has either `path` or `regex`")
            .also(&path.place, "here the other");
    }
    if let Some(regex) = table.text("regex") {
        return vec![PathMatcher::Regex(regex.to_owned())];
    }
    let paths: Vec<PathMatcher> = table.texts("path").iter().filter_map(|text| path::matcher(text).ok()).collect();
    if paths.is_empty() { vec![PathMatcher::Any] } else { paths }
}

fn fields(table: &Table, key: &str, fold_case: bool) -> Vec<FieldMatcher> {
    let Some(fields) = table.table(key) else { return Vec::new() };
    let matcher = |name: &str, node: &Node| {
        let value = match (node.text(), node.bool(), node.table()) {
            (Some(text), ..) => ValueMatcher::Is(text.to_owned()),
            (_, Some(true), _) => ValueMatcher::Present,
            (_, Some(false), _) => ValueMatcher::Absent,
            (_, _, Some(table)) => ValueMatcher::Regex(table.text("regex")?.to_owned()),
            _ => return None,
        };
        let name = if fold_case { name.to_ascii_lowercase() } else { name.to_owned() };
        Some(FieldMatcher { name, value })
    };
    fields.iter().filter_map(|entry| matcher(&entry.key, &entry.node)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Privileges, Sources, parse};

    #[test]
    fn a_guarded_pattern_that_leaves_the_folder_itself_open_is_told_of() {
        let warnings = |path: &str, guard: &str| {
            let text = format!(
                "[site.\"a.localhost\"]\nrespond = \"a\"\n[[site.\"a.localhost\".route]]\npath = {path}\nrespond = \"b\"\n{guard}\n"
            );
            let outcome = parse(&Sources::from_text(Path::new("/a/doorstep.toml"), &text), Privileges::default());
            assert_eq!(outcome.errors(), 0, "{}", outcome.render(false));
            outcome.warnings()
        };
        let guard = "allow = \"private\"";
        assert_eq!(warnings("\"/admin/*\"", guard), 1);
        assert_eq!(warnings("\"/admin/**\"", guard), 1);
        for fine in ["\"/admin/\"", "[\"/admin\", \"/admin/*\"]", "\"/*\""] {
            assert_eq!(warnings(fine, guard), 0, "{fine}");
        }
        assert_eq!(warnings("\"/admin/*\"", ""), 0);
    }
}
