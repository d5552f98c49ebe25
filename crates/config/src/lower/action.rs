//! What answers: the keys of which a site or route has one.

use std::time::Duration;

use doorstep_model::{
    Action as Model, App, AppListen, AppName, FileOptions, Maintenance, Members, Pool, Redirect, Respond, UploadPolicy,
};

use super::{Captures, pool, template};
use crate::context::Context;
use crate::sources::PathKind;
use crate::suggest::nearest;
use crate::tree::{Entry, Node, Table};

const ACTIONS: [&str; 7] = ["root", "file", "proxy", "app", "redirect", "respond", "maintenance"];

/// Options that mean something with some actions only.
const FILE_OPTIONS: [&str; 4] = ["spa", "listing", "hidden", "upload"];

pub(super) enum Action {
    None,
    Some(Box<Model>),
    /// There is one, and what is wrong with it is reported.
    Bad,
}

/// The action that `table` names.
pub(super) fn action(context: &mut Context<'_>, table: &Table, apps: &[App], captures: &Captures) -> Action {
    let off = |entry: &Entry| entry.key == "maintenance" && entry.node.bool() == Some(false);
    let named: Vec<&Entry> = ACTIONS.iter().filter_map(|key| table.entry(key)).filter(|entry| !off(entry)).collect();
    // A site under maintenance keeps its usual action in the file, to come back to.
    let (entry, rest) = match (named.as_slice(), named.last()) {
        ([], _) => return Action::None,
        ([first, ..], Some(last)) if last.key == "maintenance" && named.len() == 2 => {
            let _ = make(context, table, first, apps, captures);
            (*last, &[][..])
        }
        ([first, rest @ ..], _) => (*first, rest),
    };
    for other in rest {
        let message = format!("`{}` and `{}` exclude each other", entry.key, other.key);
        context
            .error("two-actions", &other.place, message)
            .also(&entry.place, "here the first")
            .help("routes answer different paths in different ways: [[site.\"NAME\".route]]");
    }
    let first = named.first().map_or("", |entry| entry.key.as_str());
    misplaced(context, table, &FILE_OPTIONS, &["root"], first);
    misplaced(context, table, &pool::OPTIONS, &["proxy", "app"], first);
    make(context, table, entry, apps, captures).map_or(Action::Bad, |action| Action::Some(Box::new(action)))
}

/// Options that the action does not have.
fn misplaced(context: &mut Context<'_>, table: &Table, options: &[&str], with: &[&str], action: &str) {
    if with.contains(&action) || action.is_empty() {
        return;
    }
    for entry in options.iter().filter_map(|key| table.entry(key)) {
        let owner = with.join("` or `");
        context.error("misplaced-option", &entry.place, format!("`{}` means nothing without `{owner}`", entry.key));
    }
}

fn make(context: &mut Context<'_>, table: &Table, entry: &Entry, apps: &[App], captures: &Captures) -> Option<Model> {
    let node = Some(&entry.node).filter(|node| !node.bad)?;
    match entry.key.as_str() {
        "root" => folder(context, table, node),
        "file" => {
            let path = context.path(node, node.text()?);
            match context.kind(&path) {
                PathKind::Missing => {
                    context.warning(
                        "missing-file",
                        &node.place,
                        format!("there is no file {}", Context::shown(node, &path)),
                    );
                }
                PathKind::Folder => {
                    context
                        .error("not-a-file", &node.place, "this is a folder")
                        .help(format!("root = \"{}\"", node.raw()));
                }
                PathKind::Other | PathKind::Unknown => {}
            }
            Some(Model::File { path, options: FileOptions::default() })
        }
        "proxy" => Some(Model::Pool(pool::fixed(context, table, node)?)),
        "app" => app(context, table, node, apps),
        "redirect" => redirect(context, node, captures),
        "respond" => respond(context, node),
        "maintenance" => {
            let options = node.table();
            let message = node.text().or_else(|| options?.text("message")).unwrap_or_default().to_owned();
            let retry_after = options.and_then(|table| table.duration("retry_after"));
            Some(Model::Maintenance(Maintenance {
                message,
                retry_after: retry_after.unwrap_or(Duration::from_secs(300)),
            }))
        }
        _ => None,
    }
}

fn folder(context: &mut Context<'_>, table: &Table, node: &Node) -> Option<Model> {
    let root = context.path(node, node.text()?);
    match context.kind(&root) {
        PathKind::Missing => {
            context
                .error("missing-folder", &node.place, format!("there is no folder {}", Context::shown(node, &root)))
                // Many a folder is the output of a build: an empty one in its place would only hide that.
                .help("if a build makes it, run the build first; otherwise make the folder, or name the one that you mean");
        }
        PathKind::Other => {
            context
                .error("not-a-folder", &node.place, "this is a file, not a folder")
                .help(format!("file = \"{}\"", node.raw()));
        }
        PathKind::Folder | PathKind::Unknown => {}
    }
    let on = |key: &str| table.bool(key).unwrap_or(false);
    let options = FileOptions {
        spa: on("spa"),
        cors: false,
        hidden: on("hidden"),
        no_listing: !on("listing"),
        upload: upload(table),
    };
    Some(Model::Folder { root, options })
}

fn upload(table: &Table) -> UploadPolicy {
    let Some(node) = table.get("upload") else { return UploadPolicy::Off };
    let options = node.table();
    let max_bytes = options.and_then(|table| table.size("max"));
    let only = node.text().is_some() || options.and_then(|table| table.bool("only")).unwrap_or(false);
    match (node.bool(), only) {
        (Some(false), _) => UploadPolicy::Off,
        (_, true) => UploadPolicy::Only { max_bytes },
        _ => UploadPolicy::Allowed { max_bytes },
    }
}

fn app(context: &mut Context<'_>, table: &Table, node: &Node, apps: &[App]) -> Option<Model> {
    let name = node.text()?;
    let options = Pool::new(name, Members::App(AppName(name.to_owned())));
    let pool = pool::options(context, table, options);
    if apps.iter().any(|app| app.name.0 == name && app.listen == AppListen::Nothing) {
        context
            .error("listens-to-nothing", &node.place, format!("the app `{name}` has `listen = \"nothing\"`"))
            .note("a site can lead only to an app that listens");
        return None;
    }
    if apps.iter().any(|app| app.name.0 == name) {
        return Some(Model::App { app: AppName(name.to_owned()), pool });
    }
    let draft = context.error("no-such-app", &node.place, format!("there is no app `{}`", node.raw()));
    match nearest(name, apps.iter().map(|app| app.name.0.as_str())) {
        Some(meant) => draft.meant(Some(meant)),
        None => draft.help(format!("[app.{}]\nrun = \"…\"", node.raw())),
    };
    None
}

fn redirect(context: &mut Context<'_>, node: &Node, captures: &Captures) -> Option<Model> {
    let (to, status) = match node.table() {
        None => (node, None),
        Some(table) => (table.get("to")?, table.get("status")),
    };
    let number = status.and_then(Node::integer).unwrap_or(302);
    if let (Some(status), false) = (status, matches!(number, 301 | 302 | 303 | 307 | 308)) {
        context
            .error("bad-status", &status.place, format!("{number} is not a redirect"))
            .note("there are 301 (for good), 302 (for now), 303 (see there by GET), 307 and 308 (as 302 and 301, with the same method)");
    }
    let text = to.text()?;
    if text.is_empty() || !(text.starts_with(['/', '{']) || text.contains("://")) {
        context
            .error("bad-redirect", &to.place, "a redirect goes to a path (`/…`) or an address (`https://…`)")
            .help(format!("https://{}", to.raw()));
    }
    let to = template(context, to, captures)?;
    Some(Model::Redirect(Redirect { status: u16::try_from(number).ok()?, to }))
}

fn respond(context: &mut Context<'_>, node: &Node) -> Option<Model> {
    let options = node.table();
    let status = node.integer().or_else(|| options?.integer("status")).unwrap_or(200);
    let content_type = options.and_then(|table| table.get("content_type"));
    if let Some(node) = content_type
        && node.text().is_none_or(|text| http::HeaderValue::from_str(text).is_err() || !text.contains('/'))
    {
        context
            .error("bad-value", &node.place, format!("`{}` is not a content type", node.raw()))
            .help("content_type = \"text/html; charset=utf-8\"");
    }
    let content_type = content_type.and_then(Node::text).unwrap_or("text/plain; charset=utf-8").to_owned();
    let body = node.text().or_else(|| options?.text("body")).unwrap_or_default().to_owned();
    Some(Model::Respond(Respond { status: u16::try_from(status).ok()?, content_type, body }))
}
