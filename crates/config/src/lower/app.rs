//! Apps and jobs.

use std::time::Duration;

use doorstep_model::{
    App, AppCommand, AppListen, AppName, Exec, Job, Orphans, Python, Readiness, ResourceLimits, Rotation, Schedule,
    Secret,
};

use crate::context::Context;
use crate::sources::PathKind;
use crate::text::{env_file, quantity};
use crate::tree::{Entry, Node, Table};

/// All apps, in the order of the file.
pub(super) fn apps(context: &mut Context<'_>, file: &Table) -> Vec<App> {
    let entries = file.table("app").into_iter().flat_map(Table::iter);
    entries.filter_map(|entry| app(context, entry, entry.node.table()?)).collect()
}

/// All jobs, in the order of the file.
pub(super) fn jobs(context: &mut Context<'_>, file: &Table) -> Vec<Job> {
    let entries = file.table("job").into_iter().flat_map(Table::iter);
    let jobs: Vec<Job> = entries.filter_map(|entry| job(context, entry, entry.node.table()?)).collect();
    let apps = file.table("app").into_iter().flat_map(|table| &table.entries);
    for app in apps {
        let same = file.table("job").and_then(|jobs| jobs.entries.iter().find(|job| job.key == app.key));
        if let Some(job) = same {
            context
                .error("said-twice", &job.place, format!("an app and a job have the same name `{}`", job.key))
                .also(&app.place, "the app")
                .note("names are those of log files, and what commands such as `doorstep logs` take");
        }
    }
    jobs
}

/// `None` never drops an app whose mistakes are reported: other places refer to it by name.
fn app(context: &mut Context<'_>, entry: &Entry, table: &Table) -> Option<App> {
    let command = command(context, entry, table);
    let listen = match (table.text("listen"), &command) {
        (Some("nothing"), _) => AppListen::Nothing,
        (Some("socket"), _) | (None, AppCommand::Python(_)) => AppListen::Socket,
        _ => AppListen::Port,
    };
    let alone = listen == AppListen::Nothing;
    if alone {
        visited_by_nobody(context, table);
    }
    let ready = table.get("ready");
    let options = ready.and_then(Node::table);
    let default = Readiness::default();
    Some(App {
        name: AppName(entry.key.clone()),
        command,
        exec: exec(context, entry, table),
        listen,
        instances: table.number("instances").unwrap_or(1),
        after: table.texts("after").into_iter().map(AppName).collect(),
        pre_start: table.texts("pre_start"),
        ready: Readiness {
            path: ready.and_then(Node::text).or_else(|| options?.text("path")).map(str::to_owned),
            timeout: options.and_then(|table| table.duration("timeout")).unwrap_or(default.timeout),
        },
        stop_grace: table.duration("stop_grace").unwrap_or(Duration::from_secs(10)),
        drain: if alone { Duration::ZERO } else { table.duration("drain").unwrap_or(Duration::from_secs(30)) },
        watch: table.bool("watch").unwrap_or(false),
        orphans: if table.text("orphans") == Some("adopt") { Orphans::Adopt } else { Orphans::End },
        log: rotation(table.table("log")),
    })
}

/// What makes no sense for an app that listens to nothing.
fn visited_by_nobody(context: &mut Context<'_>, table: &Table) {
    let path = table.table("ready").and_then(|ready| ready.entry("path"));
    let ready = table.entry("ready").filter(|ready| ready.node.text().is_some());
    for entry in [table.entry("python"), table.entry("drain"), ready, path].into_iter().flatten() {
        context
            .error(
                "misplaced-option",
                &entry.place,
                format!("`{}` means nothing with `listen = \"nothing\"`", entry.key),
            )
            .note("nobody visits such a program, so there is nothing to be asked, and no request to wait for");
    }
}

fn command(context: &mut Context<'_>, entry: &Entry, table: &Table) -> AppCommand {
    match (table.entry("run"), table.entry("python")) {
        (None, None) => {
            context
                .error("no-command", &entry.place, format!("nothing says how to start `{}`", entry.key))
                .help("run = \"node server.js\", or python = \"main:app\"");
        }
        (Some(run), Some(python)) => {
            context
                .error("two-commands", &python.place, "an app is started by `run` or by `python`, not by both")
                .also(&run.place, "here the other");
        }
        _ => {}
    }
    if let Some(python) = table.get("python") {
        let options = python.table();
        let text = |key: &str| options.and_then(|table| table.text(key));
        let entry = python.text().or_else(|| text("entry")).unwrap_or_default().to_owned();
        return AppCommand::Python(Python {
            entry,
            asgi: text("interface").map(|interface| interface == "asgi"),
            threads: options.and_then(|table| table.number("threads")).unwrap_or(4),
            interpreter: text("interpreter").unwrap_or("python3").to_owned(),
            collectstatic: text("static").map(|path| path.trim_end_matches('/').to_owned()),
        });
    }
    AppCommand::Run(table.text("run").unwrap_or_default().to_owned())
}

fn job(context: &mut Context<'_>, entry: &Entry, table: &Table) -> Option<Job> {
    let exec = exec(context, entry, table);
    let timeout = table.duration("timeout");
    let log = rotation(table.table("log"));
    let (every, cron) = (table.entry("every"), table.entry("cron"));
    match (every, cron) {
        (None, None) => {
            context
                .error("no-schedule", &entry.place, format!("nothing says when `{}` runs", entry.key))
                .help("every = \"1h\", or cron = \"30 4 * * *\"");
        }
        (Some(every), Some(cron)) => {
            context
                .error("two-schedules", &cron.place, "a job has either `every` or `cron`")
                .also(&every.place, "here the other");
        }
        _ => {}
    }
    let schedule = match table.duration("every") {
        Some(every) => Schedule::Every(every),
        None => Schedule::Cron(table.text("cron")?.to_owned()),
    };
    Some(Job { name: AppName(entry.key.clone()), run: table.text("run")?.to_owned(), exec, schedule, timeout, log })
}

fn exec(context: &mut Context<'_>, entry: &Entry, table: &Table) -> Exec {
    let user = table.text("user").map(str::to_owned);
    if context.privileges.root && !table.has("user") {
        context
            .error("no-user", &entry.place, format!("`{}` has no user, and would run as root", entry.key))
            .note("doorstep is started by root here; programs get a user of their own, so that a mistake in one costs only that one")
            .help("user = \"www-data\" (or \"root\", if it really must be)");
    }
    let dir = match table.get("dir") {
        None => context.path(&entry.node, "."),
        Some(node) => {
            let dir = context.path(node, node.text().unwrap_or("."));
            folder_exists(context, node, &dir);
            dir
        }
    };
    let writes = table.get("writes").map(|list| {
        let folders = list.each().filter_map(|node| {
            let path = context.path(node, node.text()?);
            folder_exists(context, node, &path);
            Some(path)
        });
        folders.collect()
    });
    let umask = table.text("umask").and_then(|text| u32::from_str_radix(text, 8).ok());
    Exec {
        dir,
        user,
        group: table.text("group").map(str::to_owned),
        umask,
        env: env(context, table),
        limits: limits(table.table("limits")),
        writes,
        private_tmp: table.bool("private_tmp").unwrap_or(false),
        new_privileges: table.bool("new_privileges").unwrap_or(false),
    }
}

fn folder_exists(context: &mut Context<'_>, node: &Node, path: &std::path::Path) {
    let what = match context.kind(path) {
        PathKind::Missing => "there is no such folder",
        PathKind::Other => "this is a file, not a folder",
        PathKind::Folder | PathKind::Unknown => return,
    };
    context.warning("missing-folder", &node.place, format!("{what}: {}", Context::shown(node, path)));
}

/// The file's variables first, so that those of `env` come last and win.
fn env(context: &mut Context<'_>, table: &Table) -> Vec<(String, Secret<String>)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set = |name: String, value: String| {
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value));
    };
    for node in table.each("env_file") {
        let Some(path) = node.text().map(|text| context.path(node, text)) else { continue };
        let Some((text, _)) = context.named_file(node, &path) else { continue };
        match env_file::read(text) {
            Ok(read) => read.into_iter().for_each(|(name, value)| set(name, value)),
            Err((line, why)) => {
                context
                    .error("bad-env-file", &node.place, format!("line {line} of this file is wrong: {why}"))
                    .note("lines are `NAME=VALUE`");
            }
        }
    }
    for entry in table.table("env").into_iter().flat_map(Table::iter) {
        if let Some(value) = entry.node.text() {
            set(entry.key.clone(), value.to_owned());
        }
    }
    variables.into_iter().map(|(name, value)| (name, Secret::new(value))).collect()
}

fn limits(table: Option<&Table>) -> ResourceLimits {
    let Some(table) = table else { return ResourceLimits::default() };
    ResourceLimits {
        memory: table.size("memory"),
        cpu_percent: table.text("cpu").and_then(|text| quantity::percent(text).ok()),
        open_files: table.number("open_files"),
        processes: table.number("processes"),
    }
}

/// When a log is set aside.
pub(super) fn rotation(table: Option<&Table>) -> Rotation {
    let default = Rotation::default();
    Rotation {
        max_bytes: table.and_then(|table| table.size("max")).unwrap_or(default.max_bytes),
        keep: table.and_then(|table| table.number("keep")).unwrap_or(default.keep),
    }
}
