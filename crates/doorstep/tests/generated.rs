//! What `doorstep init` writes, and what the documents show, is understood.

use std::fs;
use std::path::{Path, PathBuf};

use doorstep_config::{Privileges, Sources, parse};
use doorstep_detect::{Found, Options, look};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every fixture of `doorstep init`, and every example, as a copy.
fn projects() -> Vec<(String, tempfile::TempDir)> {
    let folders = [repository().join("crates/detect/fixtures"), repository().join("examples")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let mut projects: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    projects.sort();
    assert!(projects.len() > 25);
    let copied = projects.iter().map(|project| {
        let copy = tempfile::tempdir().unwrap();
        copy_all(project, copy.path());
        (project.file_name().unwrap().to_string_lossy().into_owned(), copy)
    });
    copied.collect()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// What is wrong with the file, apart from folders that a build will make, as `init` says.
fn errors(file: &Path, privileges: Privileges, unbuilt: bool) -> Vec<String> {
    let outcome = parse(&Sources::gather(file), privileges);
    let errors = outcome.diagnostics.iter().filter(|it| it.is_error() && !(unbuilt && it.id == "missing-folder"));
    errors.map(|error| error.render(false, Path::new("/"))).collect()
}

fn is_unbuilt(found: &Found) -> bool {
    found.remarks().iter().any(|remark| remark.contains("not built yet"))
}

#[test]
fn generated_files_are_understood() {
    for (name, project) in projects() {
        for root in [false, true] {
            let user = root.then(|| "www-data".to_owned());
            let found = look(project.path(), Options { name: None, user }).unwrap();
            let text = found.config();
            let file = project.path().join("doorstep.toml");
            fs::write(&file, &text).unwrap();
            let privileges = Privileges { root, low_ports: root };
            let wrong = errors(&file, privileges, is_unbuilt(&found));
            assert!(wrong.is_empty(), "{name}:\n{text}\n{}", wrong.join("\n"));
        }
    }
}

#[test]
fn further_options_work_once_they_are_no_comment() {
    for (name, project) in projects() {
        let real = Some("shop.example.com".parse().unwrap());
        let found = look(project.path(), Options { name: real, user: None }).unwrap();
        let text: String =
            found.config().lines().map(|line| format!("{}\n", uncommented(line).unwrap_or(line))).collect();
        let file = project.path().join("doorstep.toml");
        fs::write(&file, &text).unwrap();
        fs::write(project.path().join(".env"), "KEY=secret\n").unwrap();
        fs::write(project.path().join("users.txt"), "ada:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n").unwrap();
        for app in fs::read_dir(project.path()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
            fs::write(app.path().join(".env"), "KEY=secret\n").unwrap();
        }
        let wrong = errors(&file, Privileges::default(), is_unbuilt(&found));
        assert!(wrong.is_empty(), "{name}:\n{text}\n{}", wrong.join("\n"));
    }
}

/// The option in a comment.
fn uncommented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let (key, _) = rest.split_once(" = ")?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(rest)
}

/// Blocks marked as `toml` in docs/*.md are whole files, whatever they name left out.
#[test]
fn files_in_documents_are_understood() {
    let mut count = 0;
    for entry in fs::read_dir(repository().join("docs")).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        for block in blocks(&fs::read_to_string(&path).unwrap()) {
            let sources = Sources::from_text(Path::new("/srv/doorstep.toml"), &block);
            let outcome = parse(&sources, Privileges { root: false, low_ports: true });
            const MISSING: [&str; 4] = ["unreadable-file", "missing-folder", "unset-variable", "not-joined"];
            let wrong: Vec<String> = outcome
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.is_error() && !MISSING.contains(&diagnostic.id))
                .map(|diagnostic| diagnostic.render(false, Path::new("/srv")))
                .collect();
            assert!(wrong.is_empty(), "{}:\n{block}\n{}", path.display(), wrong.join("\n\n"));
            count += 1;
        }
    }
    assert!(count > 0);
}

fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("\n```toml\n") {
        let Some((block, after)) = after.split_once("\n```") else { break };
        blocks.push(format!("{block}\n"));
        rest = after;
    }
    blocks
}
