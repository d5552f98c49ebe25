//! Every file in `fixtures/good` and `fixtures/bad` against the `.out` beside it; `UPDATE_FIXTURES=1` writes these anew.
//!
//! A folder is a configuration with includes: its `doorstep.toml` is parsed. `# root` in the first line: as if started by root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use doorstep_config::{Outcome, Privileges, Sources, parse};

/// What stands in place of the folder in which the test runs.
const FOLDER: &str = "/etc/doorstep";

#[test]
fn good_files_become_specs() {
    let fixtures = Fixtures::new("good");
    fixtures.compare(|name, outcome, render| {
        assert_eq!(outcome.errors(), 0, "{name} is good, but:\n{render}");
        let spec = format!("{:#?}", outcome.spec.as_ref().expect("no error, so a spec"));
        // What is not said does not matter here.
        let lines: Vec<&str> =
            spec.lines().filter(|line| !line.ends_with(": None,") && !line.ends_with(": [],")).collect();
        if render.is_empty() { lines.join("\n") } else { format!("{}\n\n{render}", lines.join("\n")) }
    });
}

#[test]
fn bad_files_are_explained() {
    let fixtures = Fixtures::new("bad");
    fixtures.compare(|name, outcome, render| {
        assert!(!outcome.diagnostics.is_empty(), "{name} is bad, but nothing is said");
        assert_eq!(outcome.spec.is_none(), outcome.errors() > 0, "{name}");
        assert!(!render.contains("hunter2"), "{name} shows a secret:\n{render}");
        for diagnostic in &outcome.diagnostics {
            assert!(!diagnostic.to_json().to_string().contains("hunter2"), "{name} shows a secret as JSON");
        }
        render.to_owned()
    });
}

struct Fixtures {
    /// Where the results stand.
    home: PathBuf,
    /// A copy of all files, with rights that do not depend on who checked them out.
    copy: tempfile::TempDir,
    all: Vec<String>,
}

impl Fixtures {
    fn new(kind: &str) -> Self {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&home, copy.path());
        copy_folder(&home.join("../files"), copy.path());
        let mut all: Vec<String> = fs::read_dir(&home)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| match name.strip_suffix(".toml") {
                Some(stem) => Some(stem.to_owned()),
                None => home.join(&name).is_dir().then_some(name),
            })
            .collect();
        all.sort();
        Self { home, copy, all }
    }

    fn compare(&self, result: impl Fn(&str, &Outcome, &str) -> String) {
        let update = std::env::var_os("UPDATE_FIXTURES").is_some();
        let mut differ = Vec::new();
        for name in &self.all {
            let folder = self.copy.path().join(name);
            let path = if folder.is_dir() { folder.join("doorstep.toml") } else { folder.with_extension("toml") };
            let text = fs::read_to_string(&path).unwrap_or_default();
            let root = text.starts_with("# root");
            let sources = Sources::gather_with(&path, variable);
            let outcome = parse(&sources, Privileges { root, low_ports: root });
            let got = result(name, &outcome, &outcome.render(false));
            let got = got.replace(&self.copy.path().display().to_string(), FOLDER) + "\n";
            let expected = self.home.join(format!("{name}.out"));
            if update {
                fs::write(&expected, &got).unwrap();
            } else if fs::read_to_string(&expected).unwrap_or_default() != got {
                differ.push(format!("== {name}\n{got}"));
            }
        }
        assert!(
            differ.is_empty(),
            "not as in the .out files (UPDATE_FIXTURES=1 rewrites them):\n{}",
            differ.join("\n")
        );
    }
}

fn variable(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("hunter2".to_owned()),
        "PORT" => Some("3000".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Nobody else may read the files, except those with `public` in their name.
fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            let public = entry.file_name().to_string_lossy().contains("public");
            fs::set_permissions(&target, fs::Permissions::from_mode(if public { 0o644 } else { 0o600 })).unwrap();
        }
    }
}
