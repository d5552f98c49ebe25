//! Programs that a compiler makes: Rust and Go.

use std::path::{Path, PathBuf};

use crate::found::{Part, Program, Serve, Start};
use crate::limits;
use crate::node::in_folder;
use crate::project::Projects;
use crate::tree::Tree;
use crate::words::{a, code};

/// The Rust or Go web program of `folder`, if there is one.
pub fn look(tree: &Tree, folder: &Path, projects: &Projects) -> Option<Part> {
    rust(tree, folder, projects).or_else(|| go(tree, folder, projects))
}

fn rust(tree: &Tree, folder: &Path, projects: &Projects) -> Option<Part> {
    let manifest: toml::Table = tree.text(folder.join("Cargo.toml")).parse().ok()?;
    let package = manifest.get("package")?.get("name")?.as_str()?;
    let crates = [
        ("axum", "axum"),
        ("actix-web", "Actix"),
        ("rocket", "Rocket"),
        ("warp", "warp"),
        ("poem", "Poem"),
        ("salvo", "Salvo"),
        ("tide", "Tide"),
        ("ntex", "ntex"),
        ("hyper", "hyper"),
    ];
    let dependencies = manifest.get("dependencies")?.as_table()?;
    let (name, framework) = crates.iter().find(|(name, _)| dependencies.contains_key(*name))?;
    let named = manifest.get("bin").and_then(|bins| bins.as_array()?.first()?.get("name")?.as_str());
    if named.is_none() && !tree.has(folder.join("src/main.rs")) {
        return None;
    }
    let binary = named.unwrap_or(package);
    // Members of a workspace share its target folder.
    let is_workspace = |dir: &&Path| tree.text(dir.join("Cargo.toml")).contains("[workspace]");
    let home = folder.ancestors().find(is_workspace).unwrap_or(folder);
    let made = format!("target/release/{binary}");
    let sources = sources(tree, folder, projects, "rs");
    let (run, reads) = match *name {
        "rocket" => (format!("env ROCKET_ADDRESS=127.0.0.1 ROCKET_PORT=$PORT ./{made}"), true),
        _ => (format!("./{made}"), sources.contains("PORT")),
    };
    let what = format!("{} program in Rust ({})", a(framework), code("Cargo.toml"));
    let program = Program { knows_api: sources.contains("\"/api"), ..Program::default() };
    let part = binary_part(home, what, Program { start: Start::Run(run), ..program }, reads);
    let package = if home == folder { String::new() } else { format!(" --package {package}") };
    Some(built(part, tree, home, &made, &format!("cargo build --release{package}")))
}

fn go(tree: &Tree, folder: &Path, projects: &Projects) -> Option<Part> {
    let module = tree
        .text(folder.join("go.mod"))
        .lines()
        .find_map(|line| Some(line.strip_prefix("module ")?.trim().to_owned()))?;
    let sources = sources(tree, folder, projects, "go");
    let listens = ["ListenAndServe", "gin-gonic", "labstack/echo", "gofiber", "http.Serve("];
    if !listens.iter().any(|word| sources.contains(word)) {
        return None;
    }
    // Major versions end a module's path: example.com/shop/v2.
    let is_version =
        |part: &&str| !(part.starts_with('v') && part.len() > 1 && part[1..].bytes().all(|b| b.is_ascii_digit()));
    let name = module.rsplit('/').find(is_version).unwrap_or("app").to_owned();
    let commands = folder.join("cmd");
    let command = (!tree.has(folder.join("main.go"))).then(|| tree.folders_in(&commands).next()).flatten();
    let name = command.and_then(|dir| dir.file_name()?.to_str()).map_or(name, str::to_owned);
    let package = command.map_or(".".to_owned(), |_| format!("./cmd/{name}"));
    let made = [format!("bin/{name}"), name.clone()].into_iter().find(|path| tree.has(folder.join(path)));
    let made = made.unwrap_or_else(|| format!("bin/{name}"));
    let program =
        Program { start: Start::Run(format!("./{made}")), knows_api: sources.contains("/api"), ..Program::default() };
    let part = binary_part(folder, format!("a Go program ({})", code("go.mod")), program, sources.contains("PORT"));
    Some(built(part, tree, folder, &made, &format!("go build -o {made} {package}")))
}

fn binary_part(folder: &Path, what: String, program: Program, reads_port: bool) -> Part {
    let part = Part::new(folder, what, Serve::App(program));
    match reads_port {
        true => part,
        false => part.todo("None of its files mentions PORT: it must listen on 127.0.0.1 and the port in $PORT, or give it one as an argument in `run`."),
    }
}

fn built(part: Part, tree: &Tree, folder: &Path, made: &str, build: &str) -> Part {
    match tree.has(folder.join(made)) {
        true => part,
        false => part.todo(format!("It is not built yet: {}.", in_folder(folder, build))),
    }
}

fn sources(tree: &Tree, folder: &Path, projects: &Projects, end: &str) -> String {
    let files = projects.files_of(tree, folder).into_iter();
    let ours = |path: &&Path| {
        path.extension().is_some_and(|e| e == end) && !path.starts_with(PathBuf::from(folder).join("target"))
    };
    files.filter(ours).take(limits::MAX_SOURCES).map(|path| tree.text(path)).collect()
}
