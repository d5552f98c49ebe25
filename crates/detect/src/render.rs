//! The text of the file.

use std::fmt::Write;
use std::path::Path;

use crate::Found;
use crate::found::{Files, Part, Program, Serve, Start};
use crate::layout::{Route, Site};

/// A commented `doorstep.toml`.
pub fn config(found: &Found) -> String {
    let mut out = Text(String::new());
    out.line(&format!("# Written by `doorstep init`, which found {}.", found.sentence()));
    out.line("# `doorstep check` says whether doorstep understands this file; `doorstep up` runs it.");
    out.line("");
    if found.options.name.is_some() {
        out.line("# The certificate authority writes here when something is wrong with a certificate. Fill it in:");
        out.line("# email = \"you@example.com\"");
    } else {
        out.line("# For certificates under a real name, the certificate authority wants to know whom to write to:");
        out.line("# email = \"you@example.com\"");
    }
    for (number, site) in found.layout.sites.iter().enumerate() {
        self::site(&mut out, found, site, number == 0);
    }
    for (part, name) in found.parts.iter().zip(&found.layout.names) {
        match &part.serve {
            Serve::App(program) => app(&mut out, part, program, name, found.options.user.as_deref()),
            Serve::Worker(program) => worker(&mut out, part, program, name, found.options.user.as_deref()),
            Serve::Files(_) => {}
        }
    }
    out.0
}

fn site(out: &mut Text, found: &Found, site: &Site, first: bool) {
    out.line("");
    match (&found.options.name, first) {
        (None, true) => {
            out.line(
                "# This name works at once, on this computer. For the internet, put your domain in its place, such as",
            );
            out.line("# [site.\"blog.example.com\"]: as soon as it leads here, doorstep gets a certificate for it by itself.");
        }
        (Some(_), true) => {
            out.line("# As soon as this name leads to this computer, doorstep gets a certificate for it by itself.");
        }
        _ => {}
    }
    let table = format!("site.{}", quoted(&site.host));
    out.line(&format!("[{table}]"));
    let part = &found.parts[site.part];
    let name = &found.layout.names[site.part];
    // Tables of the site end where a route begins, so what answers all other paths is a key of the site itself.
    action(out, part, name);
    if first {
        if let Some(name) = &found.options.name {
            out.line(&format!(
                "# aliases = [{}]   # further names, redirected to this one",
                quoted(&format!("www.{name}"))
            ));
        }
        out.line("# compression = true       # smaller answers, for some work of the processor");
        out.line("# allow = \"private\"        # only visitors from networks such as the one at home");
        out.line("# htpasswd = \"users.txt\"   # only visitors with a password in this file");
        out.line("# hsts = true              # browsers come by HTTPS only, for a year; hard to take back");
    }
    for route in &site.routes {
        self::route(out, found, &table, route);
    }
}

fn route(out: &mut Text, found: &Found, table: &str, route: &Route) {
    out.line("");
    out.line(&format!("[[{table}.route]]"));
    out.line(&format!("path = {}", quoted(&format!("{}/", route.path))));
    if route.strip {
        out.line(&format!(
            "strip_prefix = {}   # without this, the app sees {}/… as it is",
            quoted(&route.path),
            route.path
        ));
    }
    action(out, &found.parts[route.part], &found.layout.names[route.part]);
}

fn action(out: &mut Text, part: &Part, name: &str) {
    match &part.serve {
        Serve::App(_) | Serve::Worker(_) => out.line(&format!("app = {}", quoted(name))),
        Serve::Files(files) => self::files(out, part, files),
    }
}

fn files(out: &mut Text, part: &Part, files: &Files) {
    if let Some(build) = &files.build {
        out.line(&format!("# What `{build}` makes:"));
    }
    out.line(&format!("root = {}", quoted(&path(&part.folder.join(&files.root)))));
    if files.spa {
        out.line("spa = true   # paths without a file get the start page");
    }
    if files.listing {
        out.line("listing = true   # visitors see what is in it");
    }
}

fn app(out: &mut Text, part: &Part, program: &Program, name: &str, user: Option<&str>) {
    out.line("");
    out.line(&format!("# {}.", capital(&part.what)));
    out.line(&format!("[app.{}]", key(name)));
    out.line(&format!("dir = {}", quoted(&path(&part.folder))));
    match &program.start {
        Start::Python(entry) => match &program.collectstatic {
            None => out.line(&format!("python = {}", quoted(entry))),
            Some(at) => {
                out.line("# Static files are gathered by `collectstatic`, and served without asking the app:");
                out.line(&format!("python = {{ entry = {}, static = {} }}", quoted(entry), quoted(at)));
            }
        },
        Start::Run(command) => out.line(&format!("run = {}", quoted(command))),
    }
    if !program.pre_start.is_empty() {
        let commands: Vec<String> = program.pre_start.iter().map(|command| quoted(command)).collect();
        out.line(&format!("pre_start = [{}]   # before a new version starts", commands.join(", ")));
    }
    environment(out, program);
    match &program.keep_one {
        Some(why) => out.line(&format!("# instances = 2         # more than one needs thought: {why}")),
        None if matches!(program.start, Start::Python(_)) => {
            out.line(
                "instances = 3           # processes that share the work; 1 if the app keeps things in its memory",
            );
        }
        None => out.line("# instances = 3         # processes that share the work"),
    }
    match user {
        Some(user) => out.line(&format!("user = {}", quoted(user))),
        None => out.line("# user = \"www-data\"     # who it runs as, when doorstep itself is started by root"),
    }
    out.line("# env_file = \".env\"     # passwords and other settings that do not belong into this file");
    out.line("# ready = \"/healthz\"    # a path that answers once it is ready to work");
    out.line("# watch = true          # restart when its files change, while you work on it");
    out.line("# limits = { memory = \"512MB\" }");
}

/// A program that no site leads to.
fn worker(out: &mut Text, part: &Part, program: &Program, name: &str, user: Option<&str>) {
    out.line("");
    out.line(&format!("# {}.", capital(&part.what)));
    out.line(&format!("[app.{}]", key(name)));
    out.line(&format!("dir = {}", quoted(&path(&part.folder))));
    if let Start::Run(command) = &program.start {
        out.line(&format!("run = {}", quoted(command)));
    }
    out.line("listen = \"nothing\"");
    if let Some(user) = user {
        out.line(&format!("user = {}", quoted(user)));
    }
}

fn environment(out: &mut Text, program: &Program) {
    if !program.env.is_empty() {
        let pairs: Vec<String> =
            program.env.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
        out.line(&format!("env = {{ {} }}", pairs.join(", ")));
    }
}

struct Text(String);

impl Text {
    /// Appends a line without white space at its end.
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A bare key where TOML allows it.
fn key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { quoted(name) }
}

fn path(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
