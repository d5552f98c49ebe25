//! Upstreams, and how requests are passed on to them.

use doorstep_model::{
    Balance, HashKey, HealthCheck, Member, Members, PassiveHealth, Pool, PoolQueue, ProxyHeader, Retries, Timeouts,
    Upstream,
};

use crate::context::Context;
use crate::text::upstream;
use crate::tree::{Node, Table};

/// Keys that mean something for an upstream only.
pub(super) const OPTIONS: [&str; 10] = [
    "balance",
    "health",
    "passive_health",
    "retries",
    "timeouts",
    "queue",
    "slow_start",
    "keep_host",
    "send_proxy",
    "keep_alive",
];

/// The pool of the upstreams that `node` lists, with the options of `table`.
pub(super) fn fixed(context: &mut Context<'_>, table: &Table, node: &Node) -> Option<Pool> {
    let mut members = Vec::new();
    let mut names = Vec::new();
    for node in node.each() {
        let Some((name, member)) = member(context, node) else { continue };
        names.push(name);
        members.push(member);
    }
    if members.is_empty() {
        if node.each().next().is_none() {
            context.error("no-upstream", &node.place, "the list of upstreams is empty");
        }
        return None;
    }
    if members.iter().all(|member| member.backup) {
        context.error("only-backups", &node.place, "all upstreams are backups; backups of what?");
    }
    Some(options(context, table, Pool::new(&names.join(", "), Members::Fixed(members))))
}

/// One upstream by its address; reports what is wrong with it.
pub(super) fn upstream(context: &mut Context<'_>, node: &Node) -> Option<Upstream> {
    let text = node.text()?;
    match upstream::parse(text) {
        Ok(upstream) => Some(upstream),
        Err(_) if node.raw().contains("${") => {
            let message = format!("`{}` with its variables filled in is not an address", node.raw());
            context.error("bad-upstream", &node.place, message);
            None
        }
        Err(malformed) => {
            let draft = context.error(
                "bad-upstream",
                &node.place,
                format!("`{}` is not an address that requests can be passed on to: {}", node.raw(), malformed.why),
            );
            match malformed.meant {
                Some(meant) => draft.meant(Some(&meant)),
                None => draft.help("for example: http://127.0.0.1:3000, https://api.example.com, unix:/run/app.sock"),
            };
            None
        }
    }
}

fn member(context: &mut Context<'_>, node: &Node) -> Option<(String, Member)> {
    let Some(table) = node.table() else {
        let upstream = upstream(context, node)?;
        return Some((node.text()?.to_owned(), Member { upstream, weight: 1, backup: false }));
    };
    let weight = table.number("weight").unwrap_or(1);
    let backup = table.bool("backup").unwrap_or(false);
    let server_name = table.text("server_name").map(str::to_owned);
    let insecure = table.bool("insecure").unwrap_or(false);
    let roots = table.get("roots").and_then(|node| context.pem(node, "CERTIFICATE"));
    let url = table.get("url")?;
    let mut upstream = upstream(context, url)?;
    if !upstream.tls {
        for entry in ["server_name", "roots", "insecure"].iter().filter_map(|key| table.entry(key)) {
            context
                .error("misplaced-option", &entry.place, format!("`{}` means nothing without TLS", entry.key))
                .help("url = \"https://…\"");
        }
    }
    upstream.server_name = server_name;
    upstream.insecure = insecure;
    upstream.roots = roots;
    Some((url.text()?.to_owned(), Member { upstream, weight, backup }))
}

/// `pool` with whatever `table` says of it.
pub(super) fn options(context: &mut Context<'_>, table: &Table, mut pool: Pool) -> Pool {
    pool.balance = balance(context, table);
    pool.health = table.get("health").and_then(health);
    if let Some(passive) = table.table("passive_health") {
        let default = PassiveHealth::default();
        pool.passive = PassiveHealth {
            max_fails: passive.number("max_fails").unwrap_or(default.max_fails),
            rest: passive.duration("rest").unwrap_or(default.rest),
        };
    }
    if let Some(attempts) = table.number("retries") {
        pool.retries = Retries { attempts };
    }
    if let Some(timeouts) = table.table("timeouts") {
        let default = Timeouts::default();
        pool.timeouts = Timeouts {
            connect: timeouts.duration("connect").unwrap_or(default.connect),
            response: timeouts.duration("response").unwrap_or(default.response),
            idle: timeouts.duration("idle").unwrap_or(default.idle),
        };
    }
    if let Some(queue) = table.table("queue") {
        let default = PoolQueue::default();
        pool.queue = PoolQueue {
            most: queue.number("most").unwrap_or(default.most),
            wait: queue.duration("wait").unwrap_or(default.wait),
        };
    }
    pool.slow_start = table.duration("slow_start");
    pool.keep_host = table.bool("keep_host").unwrap_or(pool.keep_host);
    pool.send_proxy = table.text("send_proxy").map(|version| match version {
        "v1" => ProxyHeader::V1,
        _ => ProxyHeader::V2,
    });
    pool.keep_alive = table.number("keep_alive").unwrap_or(pool.keep_alive);
    pool
}

fn balance(context: &mut Context<'_>, table: &Table) -> Balance {
    let Some(node) = table.get("balance") else { return Balance::default() };
    if let Some(hash) = node.table() {
        return match (hash.text("header"), hash.text("cookie")) {
            (Some(field), None) => Balance::Hash(HashKey::Header(field.to_ascii_lowercase())),
            (None, Some(cookie)) => {
                if cookie.is_empty()
                    || !cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                {
                    context.error(
                        "bad-value",
                        &node.place,
                        "the name of a cookie has letters, digits, `-`, `_` and `.`",
                    );
                }
                Balance::Hash(HashKey::Cookie(cookie.to_owned()))
            }
            _ => {
                if !hash.entries.iter().any(|entry| entry.node.bad) {
                    context
                        .error("bad-balance", &node.place, "one of `header` and `cookie` is needed")
                        .help("balance = { cookie = \"upstream\" }");
                }
                Balance::default()
            }
        };
    }
    match node.text() {
        Some("least_conn") => Balance::LeastConnections,
        Some("random_two") => Balance::RandomTwo,
        Some("ip_hash") => Balance::Hash(HashKey::Ip),
        _ => Balance::RoundRobin,
    }
}

fn health(node: &Node) -> Option<HealthCheck> {
    let options = node.table();
    let seconds = std::time::Duration::from_secs;
    let path = node.text().or_else(|| options?.text("path"))?.to_owned();
    let duration = |key: &str| options.and_then(|table| table.duration(key));
    Some(HealthCheck {
        path,
        every: duration("every").unwrap_or(seconds(10)),
        timeout: duration("timeout").unwrap_or(seconds(5)),
        healthy_after: options.and_then(|table| table.number("healthy_after")).unwrap_or(1),
        unhealthy_after: options.and_then(|table| table.number("unhealthy_after")).unwrap_or(2),
        status: options.and_then(|table| table.number("status")),
    })
}
