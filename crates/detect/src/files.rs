//! Sites that are files: written by hand, or made by a generator. And folders that must not become one unasked.

use std::path::{Path, PathBuf};

use crate::found::{Files, Part, Serve};
use crate::node::in_folder;
use crate::tree::Tree;
use crate::words::{a, code, listed};

/// The site of files in `folder`, if there is one.
pub fn look(tree: &Tree, folder: &Path) -> Option<Part> {
    generator(tree, folder).or_else(|| {
        let root = start_page(tree, folder)?;
        let file = code(root.join("index.html"));
        let part = Part::new(
            folder,
            format!("a static site ({file})"),
            Serve::Files(Files { root: root.clone(), ..Files::default() }),
        );
        let secrets = secrets(tree, &folder.join(&root));
        Some(match secrets.is_empty() {
            true => part,
            false => part.assuming(format!(
                "{} in it stays private: dotfiles, keys and databases are never served.",
                listed(&secrets)
            )),
        })
    })
}

/// A folder of files without a start page, to be shown as a list. `Err` holds what makes it look private.
pub fn listing(tree: &Tree) -> Option<Result<Part, Vec<String>>> {
    let here = Path::new("");
    let secrets = secrets(tree, here);
    if !secrets.is_empty() {
        return Some(Err(secrets));
    }
    let visible = |path: &&Path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
    tree.files_in(here).find(visible)?;
    let files = Files { listing: true, ..Files::default() };
    Some(Ok(Part::new(here, "a folder of files, without a start page (`index.html`)", Serve::Files(files))
        .assuming("Visitors may see a list of everything in it (dotfiles, keys and databases left out).")))
}

/// What lies directly in a folder and is nobody else's business.
fn secrets(tree: &Tree, folder: &Path) -> Vec<String> {
    const NAMES: [&str; 15] = [
        ".git",
        ".hg",
        ".svn",
        ".ssh",
        ".gnupg",
        ".aws",
        ".kube",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".htpasswd",
        ".bash_history",
        ".bashrc",
        "id_rsa",
        "id_ed25519",
    ];
    const ENDS: [&str; 8] = ["pem", "key", "p12", "pfx", "kdbx", "sqlite", "sqlite3", "db"];
    let all = tree.files_in(folder).chain(tree.folders_in(folder));
    let names = all.filter_map(|path| path.file_name()?.to_str());
    let is_secret = |name: &&str| {
        NAMES.contains(name)
            || name.starts_with(".env")
            || Path::new(name).extension().is_some_and(|end| ENDS.iter().any(|e| end == *e))
    };
    const SHOWN: usize = 4;
    names.filter(is_secret).take(SHOWN).map(code).collect()
}

/// Where the start page is: here, or where builds put it.
fn start_page(tree: &Tree, folder: &Path) -> Option<PathBuf> {
    ["", "public", "_site", "dist", "build", "out", "site", "www", "html", "public_html"]
        .iter()
        .find(|root| tree.has(folder.join(root).join("index.html")) || tree.has(folder.join(root).join("index.htm")))
        .map(PathBuf::from)
}

fn generator(tree: &Tree, folder: &Path) -> Option<Part> {
    let has = |name: &str| tree.has(folder.join(name)) || tree.has_folder(folder.join(name));
    let config = tree.text(folder.join("config.toml"));
    let hugo = ["hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json"].into_iter().find(|name| has(name));
    let hugo = hugo.or((config.contains("baseURL") && has("content")).then_some("config.toml"));
    let (what, by, root, build) = if let Some(by) = hugo {
        ("Hugo site", by, "public", "hugo --minify")
    } else if config.contains("base_url") && has("content") && has("templates") {
        ("Zola site", "config.toml", "public", "zola build")
    } else if has("_config.yml")
        && (has("_posts") || has("_layouts") || tree.text(folder.join("Gemfile")).contains("jekyll") || has("index.md"))
    {
        ("Jekyll site", "_config.yml", "_site", "bundle exec jekyll build")
    } else if let Some(by) =
        [".eleventy.js", "eleventy.config.js", "eleventy.config.mjs"].into_iter().find(|name| has(name))
    {
        ("Eleventy site", by, "_site", "npx @11ty/eleventy")
    } else if has("mkdocs.yml") {
        ("MkDocs site", "mkdocs.yml", "site", "mkdocs build")
    } else if has("book.toml") {
        ("mdBook", "book.toml", "book", "mdbook build")
    } else {
        return None;
    };
    let files = Files { root: root.into(), build: Some(build.to_owned()), ..Files::default() };
    let part = Part::new(folder, format!("{} ({})", a(what), code(by)), Serve::Files(files));
    Some(match tree.has(folder.join(root).join("index.html")) {
        true => part,
        false => part.todo(format!("It is not built yet: {}, which makes {}.", in_folder(folder, build), code(root))),
    })
}
