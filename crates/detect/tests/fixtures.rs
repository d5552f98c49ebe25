//! Projects of many kinds, and the file that is written for each. `UPDATE_FIXTURES=1` writes what is expected anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use doorstep_detect::{LookError, Options, look};

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut projects: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    projects.sort();
    projects
}

#[test]
fn each_project_gets_its_file() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = String::new();
    let projects = fixtures();
    assert!(projects.len() >= 20);
    for project in projects {
        let found = look(&project, Options::default()).unwrap_or_else(|error| panic!("{}: {error}", project.display()));
        let mut said = format!("{}\n", found.sentence());
        for (mark, lines) in [("?", found.assumptions()), ("!", found.remarks())] {
            for line in lines {
                writeln!(said, "{mark} {line}").unwrap();
            }
        }
        for (end, text) in [("toml", found.config()), ("txt", said)] {
            let expected = project.with_extension(end);
            if update {
                fs::write(&expected, &text).unwrap();
            } else if fs::read_to_string(&expected).unwrap_or_default() != text {
                writeln!(wrong, "--- {}\n{text}", expected.display()).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "differs from what is expected (UPDATE_FIXTURES=1 accepts it):\n{wrong}");
}

#[test]
fn files_are_toml() {
    for project in fixtures() {
        let text =
            look(&project, Options { name: Some("shop.example.com".parse().unwrap()), user: None }).unwrap().config();
        assert!(text.parse::<toml::Table>().is_ok(), "{text}");
        assert!(text.contains("shop.example.com") && !text.contains(".localhost\"]"), "{text}");
    }
}

#[test]
fn private_folders_and_empty_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(look(dir.path(), Options::default()), Err(LookError::Nothing { .. })));
    fs::create_dir(dir.path().join(".git")).unwrap();
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    fs::write(dir.path().join(".env.local"), "x").unwrap();
    let refused = look(dir.path(), Options::default()).unwrap_err();
    let text = refused.to_string();
    assert!(text.ends_with("it has no index.html, and `.env.local` and `.git` in it"), "{text}");
    let missing = look(&dir.path().join("missing"), Options::default());
    assert!(matches!(missing, Err(LookError::Unreadable { .. })));
}

/// `examples/` shows what `doorstep init` writes, so it must be what it writes. `UPDATE_FIXTURES=1` writes it anew.
#[test]
fn examples_are_current() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for name in ["flask", "django", "fastapi", "node", "site", "files"] {
        let text = look(&examples.join(name), Options::default()).unwrap().config();
        let path = examples.join(name).join("doorstep.toml");
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "{name} (UPDATE_FIXTURES=1 accepts it)");
    }
}
