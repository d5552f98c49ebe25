//! Who may come in, and how much they get.

use std::time::Duration;

use doorstep_model::{ByteRate, ForwardAuth, Guards, Logins, RequestRate, Secret};

use super::pool;
use crate::context::Context;
use crate::text::{hash, quantity};
use crate::tree::{Node, Table};

/// The guards that `table` names; `site` is the realm unless another is given.
pub(super) fn guards(context: &mut Context<'_>, table: &Table, site: &str) -> Guards {
    Guards {
        password: None,
        logins: logins(context, table, site),
        forward_auth: table.get("forward_auth").and_then(|node| forward_auth(context, node)),
        allow: table.networks("allow"),
        deny: table.networks("deny"),
        rate: table.get("bandwidth").and_then(|node| byte_rate(context, node)),
        requests: table.get("rate").and_then(request_rate),
        max_concurrent: table.number("max_concurrent"),
        expires: None,
        once: false,
    }
}

fn logins(context: &mut Context<'_>, table: &Table, site: &str) -> Option<Logins> {
    let realm = table.get("realm");
    let mut users = Vec::new();
    if let Some(passwords) = table.table("password") {
        for entry in passwords.iter() {
            if entry.key.is_empty() || entry.key.contains(':') || entry.key.chars().any(char::is_control) {
                context.error("bad-name", &entry.place, "the name of a user is not empty and has no `:`");
            }
            if let Some(hash) = entry.node.text() {
                users.push((entry.key.clone(), Secret::new(hash.to_owned())));
            }
        }
    }
    if let Some(node) = table.get("htpasswd") {
        users.extend(htpasswd(context, node, &users).into_iter().map(|(user, hash)| (user, Secret::new(hash))));
    }
    let asked = table.has("password") || table.has("htpasswd");
    if let (Some(node), false) = (realm, asked) {
        context.error("misplaced-option", &node.place, "`realm` means nothing without `password` or `htpasswd`");
    }
    if !asked {
        return None;
    }
    let no_user = users.is_empty() && !context.has_errors();
    if let (true, Some(entry)) = (no_user, table.entry("password").or_else(|| table.entry("htpasswd"))) {
        context.warning("no-user", &entry.place, "there is no user, so nobody can come in");
    }
    let realm = realm.and_then(Node::text).unwrap_or(site).replace(['"', '\\'], "");
    Some(Logins { realm, users })
}

fn htpasswd(context: &mut Context<'_>, node: &Node, known: &[(String, Secret<String>)]) -> Vec<(String, String)> {
    let Some(path) = node.text().map(|text| context.path(node, text)) else { return Vec::new() };
    let Some((text, _)) = context.named_file(node, &path) else { return Vec::new() };
    match hash::htpasswd(text) {
        Ok(users) => {
            if let Some((user, _)) = users.iter().find(|(user, _)| known.iter().any(|(other, _)| other == user)) {
                context.error(
                    "said-twice",
                    &node.place,
                    format!("the user `{user}` is in this file and in `password`"),
                );
            }
            users
        }
        Err((line, why)) => {
            context
                .error("bad-htpasswd", &node.place, format!("line {line} of this file is wrong: {why}"))
                .note("lines are `USER:HASH`")
                .help("`doorstep hash-password` asks for a password and prints its hash");
            Vec::new()
        }
    }
}

fn forward_auth(context: &mut Context<'_>, node: &Node) -> Option<ForwardAuth> {
    let options = node.table();
    let url = options.map_or(Some(node), |table| table.get("url"))?;
    let copy_headers = options.map(|table| table.lower_texts("copy_headers")).unwrap_or_default();
    let timeout = options.and_then(|table| table.duration("timeout")).unwrap_or(Duration::from_secs(10));
    let mut upstream = pool::upstream(context, url)?;
    let base = std::mem::take(&mut upstream.base_path);
    let uri = if base.is_empty() { "/".to_owned() } else { base };
    Some(ForwardAuth { upstream, uri, copy_headers, timeout })
}

fn request_rate(node: &Node) -> Option<RequestRate> {
    let options = node.table();
    let text = options.map_or(node.text(), |table| table.text("limit"))?;
    let mut rate = quantity::request_rate(text).ok()?;
    if let Some(burst) = options.and_then(|table| table.number("burst")) {
        rate.burst = burst;
    }
    Some(rate)
}

/// A bandwidth for each client, or a table of it; reports a table that limits nothing.
pub(super) fn byte_rate(context: &mut Context<'_>, node: &Node) -> Option<ByteRate> {
    if let Some(text) = node.text() {
        return Some(ByteRate { per_client: quantity::bandwidth(text).ok()?, total: u64::MAX });
    }
    let table = node.table()?;
    let (per_client, total) = (table.bandwidth("per_client"), table.bandwidth("total"));
    if table.entries.is_empty() {
        context.error("no-limit", &node.place, "one of `per_client` and `total` is needed");
    }
    Some(ByteRate { per_client: per_client.unwrap_or(u64::MAX), total: total.unwrap_or(u64::MAX) })
}
