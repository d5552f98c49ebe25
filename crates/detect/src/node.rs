//! Node: what `package.json` says, by its framework or by its start script.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::found::{Files, Part, Program, Serve, Start};
use crate::project::Projects;
use crate::words::{a, code};
use crate::{limits, tree::Tree};

/// The Node app, or what a build makes of its sources, of `folder`.
pub fn look(tree: &Tree, folder: &Path, projects: &Projects) -> Option<Part> {
    let package: Value = serde_json::from_str(&tree.text(folder.join("package.json"))).ok()?;
    let package = Package::new(tree, folder, &package);
    if package.needs("electron") || package.needs("react-native") {
        return None;
    }
    framework(&package).or_else(|| program(&package, projects)).or_else(|| built(&package))
}

struct Package<'a> {
    tree: &'a Tree,
    folder: &'a Path,
    packages: BTreeSet<&'a str>,
    scripts: &'a Value,
    main: Option<&'a str>,
}

impl<'a> Package<'a> {
    fn new(tree: &'a Tree, folder: &'a Path, json: &'a Value) -> Self {
        let names = ["dependencies", "devDependencies"].iter().filter_map(|key| json[key].as_object());
        Self {
            tree,
            folder,
            packages: names.flat_map(|map| map.keys().map(String::as_str)).collect(),
            scripts: &json["scripts"],
            main: json["main"].as_str(),
        }
    }

    fn needs(&self, package: &str) -> bool {
        self.packages.contains(package)
    }

    fn has(&self, path: &str) -> bool {
        self.tree.has(self.folder.join(path))
    }

    fn script(&self, name: &str) -> Option<&str> {
        self.scripts[name].as_str()
    }

    /// Text of the first file of this name with one of the usual endings.
    fn configuration(&self, stem: &str) -> String {
        let ends = ["js", "mjs", "cjs", "ts", "mts"];
        ends.iter().map(|end| self.tree.text(self.folder.join(format!("{stem}.{end}")))).collect()
    }

    /// The package manager by its lock file: how it installs, and runs a script.
    fn manager(&self) -> (&'static str, &'static str) {
        if self.has("pnpm-lock.yaml") {
            ("pnpm install --frozen-lockfile", "pnpm run")
        } else if self.has("yarn.lock") {
            ("yarn install", "yarn run")
        } else if self.has("bun.lock") || self.has("bun.lockb") {
            ("bun install", "bun run")
        } else if self.has("package-lock.json") {
            ("npm ci", "npm run")
        } else {
            ("npm install", "npm run")
        }
    }

    /// How its sources become what is served.
    fn build(&self) -> String {
        let (install, run) = self.manager();
        format!("{install} && {run} build")
    }

    fn static_site(&self, what: &str, root: &str, spa: bool) -> Part {
        let root = PathBuf::from(root);
        let is_built = self.tree.has(self.folder.join(&root).join("index.html"));
        let build = self.build();
        let files = Files { root: root.clone(), spa, listing: false, build: Some(build.clone()) };
        let part = Part::new(self.folder, format!("{} ({})", a(what), code("package.json")), Serve::Files(files));
        let part = match spa {
            true => {
                part.assuming("It finds its way by itself, so paths without a file get its start page (`spa = true`).")
            }
            false => part,
        };
        match is_built {
            true => part,
            false => part.todo(format!(
                "It is not built yet: {}, which makes {}.",
                in_folder(self.folder, &build),
                code(&root)
            )),
        }
    }

    fn server(&self, what: &str, run: &str, made: Option<&str>, env: Vec<(&'static str, String)>) -> Part {
        let program = Program {
            start: Start::Run(run.to_owned()),
            env: [("NODE_ENV", "production".to_owned())].into_iter().chain(env).collect(),
            is_frontend: true,
            ..Program::default()
        };
        let part = Part::new(self.folder, format!("{} ({})", a(what), code("package.json")), Serve::App(program));
        match made.is_some_and(|made| self.has(made) || self.tree.has_folder(self.folder.join(made))) {
            true => part,
            false => part.todo(format!("It is not built yet: {}.", in_folder(self.folder, &self.build()))),
        }
    }
}

/// Frameworks that know how they are to be run.
fn framework(package: &Package) -> Option<Part> {
    let local = |name| (name, "127.0.0.1".to_owned());
    if package.needs("next") {
        let exported = package.configuration("next.config");
        return Some(match exported.contains("'export'") || exported.contains("\"export\"") {
            true => package.static_site("Next.js site", "out", false),
            false => package.server(
                "Next.js app",
                "node_modules/.bin/next start -H 127.0.0.1 -p $PORT",
                Some(".next"),
                vec![],
            ),
        });
    }
    if package.needs("nuxt") {
        let generated = package.has(".output/public/index.html") && !package.has(".output/server/index.mjs");
        let only_generates = package.script("build").is_none_or(|build| build.contains("generate"));
        return Some(match generated || only_generates {
            true => package.static_site("Nuxt site", ".output/public", false),
            false => package.server(
                "Nuxt app",
                "node .output/server/index.mjs",
                Some(".output/server/index.mjs"),
                vec![local("HOST")],
            ),
        });
    }
    if package.needs("@sveltejs/kit") {
        if package.needs("@sveltejs/adapter-static") {
            return Some(package.static_site("SvelteKit site", "build", false));
        }
        let env = vec![local("HOST"), ("PROTOCOL_HEADER", "x-forwarded-proto".to_owned())];
        let part = package.server("SvelteKit app", "node build", Some("build/index.js"), env);
        return Some(match package.needs("@sveltejs/adapter-node") {
            true => part,
            false => part.todo("It needs an adapter that makes a server: `npm install --save-dev @sveltejs/adapter-node`, and name it in svelte.config.js."),
        });
    }
    if package.needs("astro") {
        return Some(match package.needs("@astrojs/node") {
            true => package.server(
                "Astro app",
                "node dist/server/entry.mjs",
                Some("dist/server/entry.mjs"),
                vec![local("HOST")],
            ),
            false => package.static_site("Astro site", "dist", false),
        });
    }
    for (serve, what) in [("@remix-run/serve", "Remix app"), ("@react-router/serve", "React Router app")] {
        if package.needs(serve) {
            let program = if serve.starts_with("@remix") { "remix-serve" } else { "react-router-serve" };
            let run = format!("node_modules/.bin/{program} ./build/server/index.js");
            return Some(package.server(what, &run, Some("build/server/index.js"), vec![local("HOST")]));
        }
    }
    None
}

/// A server of its own: by the start script, or by a file with a usual name that listens.
fn program(package: &Package, projects: &Projects) -> Option<Part> {
    let sources: Vec<&Path> = projects
        .files_of(package.tree, package.folder)
        .into_iter()
        .filter(|path| {
            path.extension().and_then(|e| e.to_str()).is_some_and(|e| ["js", "mjs", "cjs", "ts", "mts"].contains(&e))
        })
        .take(limits::MAX_SOURCES)
        .collect();
    let run = match package.script("start") {
        Some(script) if is_development(script) => return None,
        Some(script) => start_command(package, script),
        None => {
            let usual = ["server.js", "server.mjs", "index.js", "app.js", "index.mjs"];
            let listens = |name: &&str| package.tree.text(package.folder.join(name)).contains("listen(");
            format!("node {}", package.main.into_iter().chain(usual).find(listens)?)
        }
    };
    let known = [
        ("@nestjs/core", "NestJS"),
        ("express", "Express"),
        ("fastify", "Fastify"),
        ("koa", "Koa"),
        ("@hapi/hapi", "hapi"),
        ("hono", "Hono"),
    ];
    let framework = known.iter().find(|(name, _)| package.needs(name)).map_or("Node", |(_, what)| what);
    let sockets = ["ws", "socket.io"].iter().any(|name| package.needs(name));
    let texts: Vec<String> = sources.iter().map(|path| package.tree.text(path)).collect();
    let says = |words: &[&str]| texts.iter().any(|text| words.iter().any(|word| text.contains(word)));
    let program = Program {
        start: Start::Run(run),
        env: vec![("NODE_ENV", "production".to_owned())],
        keep_one: sockets
            .then(|| "it uses WebSockets, and what it keeps in memory is not shared between instances".to_owned()),
        knows_api: says(&["'/api", "\"/api", "`/api"]),
        ..Program::default()
    };
    let mut part =
        Part::new(package.folder, format!("{} app ({})", a(framework), code("package.json")), Serve::App(program));
    if !says(&["PORT"]) {
        part = part.todo("None of its files reads process.env.PORT, where doorstep expects it to listen: `server.listen(process.env.PORT)`.");
    }
    if !package.packages.is_empty() && !package.tree.has_folder(package.folder.join("node_modules")) {
        part = part
            .todo(format!("Its packages are not installed yet: {}.", in_folder(package.folder, package.manager().0)));
    }
    if let Some(script) = package.script("build") {
        let compiled = script.contains("tsc") || script.contains("nest build") || script.contains("esbuild");
        if compiled && !package.tree.has_folder(package.folder.join("dist")) {
            part = part.todo(format!("It is not built yet: {}.", in_folder(package.folder, &package.build())));
        }
    }
    Some(part)
}

/// Sites that a build makes of sources.
fn built(package: &Package) -> Option<Part> {
    if package.needs("@angular/core") {
        let project: Option<Value> = serde_json::from_str(&package.tree.text(package.folder.join("angular.json"))).ok();
        let name = project.as_ref().and_then(|json| json["projects"].as_object()?.keys().next().cloned());
        return Some(package.static_site(
            "Angular app",
            &format!("dist/{}/browser", name.as_deref().unwrap_or("app")),
            true,
        ));
    }
    for (name, what, root, spa) in [
        ("@docusaurus/core", "Docusaurus site", "build", false),
        ("gatsby", "Gatsby site", "public", false),
        ("@11ty/eleventy", "Eleventy site", "_site", false),
        ("hexo", "Hexo site", "public", false),
        ("vitepress", "VitePress site", "docs/.vitepress/dist", false),
        ("react-scripts", "React app", "build", true),
        ("@vue/cli-service", "Vue app", "dist", true),
        ("parcel", "web page built by Parcel", "dist", true),
        ("vite", "web page built by Vite", "dist", true),
    ] {
        if package.needs(name) {
            let what = match (name, package.needs("vue"), package.needs("react"), package.needs("svelte")) {
                ("vite", true, _, _) => "Vue app built by Vite",
                ("vite", _, true, _) => "React app built by Vite",
                ("vite", _, _, true) => "Svelte app built by Vite",
                _ => what,
            };
            return Some(package.static_site(what, root, spa));
        }
    }
    None
}

/// A start script that runs a development server, which is not for visitors.
fn is_development(script: &str) -> bool {
    [
        "vite",
        "react-scripts",
        "ng serve",
        "ng ",
        "vue-cli-service",
        "parcel",
        "gatsby",
        "eleventy",
        "docusaurus",
        "hexo",
        "webpack",
    ]
    .iter()
    .any(|word| script.trim_start().trim_start_matches("npx ").starts_with(word))
}

/// Plain `node …` gets signals itself; everything else goes through the package manager, which knows where programs are.
fn start_command(package: &Package, script: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._/=-@".contains(c);
    let mut rest = script.trim();
    for set in ["cross-env ", "NODE_ENV=production "] {
        rest = rest.strip_prefix(set).unwrap_or(rest);
    }
    let hooks = package.script("prestart").is_some() || package.script("poststart").is_some();
    if rest.starts_with("node ") && rest.chars().all(plain) && !hooks {
        return rest.to_owned();
    }
    match rest.strip_prefix("nodemon ") {
        Some(file) if file.chars().all(plain) && !file.contains('-') && !hooks => format!("node {file}"),
        _ => format!("{} start", package.manager().1).replace("npm run start", "npm start"),
    }
}

/// A command, with the folder it belongs in.
pub fn in_folder(folder: &Path, command: &str) -> String {
    if folder.as_os_str().is_empty() {
        format!("`{command}`")
    } else {
        format!("`cd {} && {command}`", folder.display())
    }
}
