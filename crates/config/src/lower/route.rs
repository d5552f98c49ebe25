//! Routes and what they match.

use doorstep_model::{App, FieldMatcher, Matcher, PathMatcher, Route, ValueMatcher};

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
