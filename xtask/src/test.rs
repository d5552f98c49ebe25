//! `cargo xtask test`: everything that can be tested, on a fresh machine that has a Rust toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::{packages, sh, tidy};

/// The whole: packages, the project's own rules, formatting, Cargo's tests, end-to-end tests.
///
/// # Errors
/// When any part failed. The ones after it still ran.
pub fn everything() -> Result<()> {
    let mut report = Report::new();
    let missing = report.part("Debian packages", || packages::provide(packages::TESTS)).unwrap_or_default();
    report.part("tidy", tidy::run);
    report.part("formatting", || sh::run(sh::cargo().args(["fmt", "--all", "--check"])));
    report
        .part("unit, property and integration tests", || sh::run(sh::cargo().args(["test", "--workspace", "--quiet"])));
    end_to_end(&mut report, &[], missing);
    report.finish()
}

/// Only the end-to-end tests, with arguments of one's own for pytest.
///
/// # Errors
/// When any part failed.
pub fn end_to_end_only(arguments: &[&str]) -> Result<()> {
    let mut report = Report::new();
    let missing = report.part("Debian packages", || packages::provide(packages::TESTS)).unwrap_or_default();
    end_to_end(&mut report, arguments, missing);
    report.finish()
}

fn end_to_end(report: &mut Report, arguments: &[&str], missing: Vec<String>) {
    let prepared = report.part("end-to-end: the binary, Python and Node packages", || {
        sh::run(sh::cargo().args(["build", "--package", "doorstep"]))?;
        node_packages()?;
        python_packages()
    });
    for what in missing {
        report.skip(what);
    }
    match prepared {
        Some(python) => {
            report.part("end-to-end tests", || pytest(&python, arguments));
        }
        None => report.skip("end-to-end tests, because their preparation failed".into()),
    }
}

fn pytest(python: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = sh::command(python);
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "-rs"]);
    if !arguments.iter().any(|argument| argument.contains("tests/e2e")) {
        command.arg("tests/e2e");
    }
    command.args(arguments);
    command.env("DOORSTEP_BIN", sh::target().join("debug/doorstep"));
    command.env("DOORSTEP_E2E", scratch());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    if packages::is_root() {
        // With root every need can be met, so an unmet one is a failure and not a reason to skip.
        command.env("DOORSTEP_E2E_NO_SKIP", "1");
    }
    sh::run(&mut command)
}

/// Where the end-to-end tests keep their packages, screenshots and temporary files.
fn scratch() -> PathBuf {
    sh::target().join("e2e")
}

/// A virtual environment with the pinned packages of tests/e2e/requirements.txt. Gives its interpreter.
fn python_packages() -> Result<PathBuf> {
    let requirements = sh::root().join("tests/e2e/requirements.txt");
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("{}", requirements.display()))?;
    let environment = scratch().join("venv");
    let python = environment.join("bin/python");
    let stamp = environment.join("installed.txt");
    if !is_current(&stamp, &wanted) {
        sh::run(sh::command("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        sh::run(
            sh::command(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
        )?;
        fs::write(&stamp, wanted)?;
    }
    Ok(python)
}

/// The pinned packages of tests/e2e/node (Vite), installed beside the virtual environment.
fn node_packages() -> Result<()> {
    let source = sh::root().join("tests/e2e/node");
    if sh::which("npm").is_none() || !source.exists() {
        return Ok(());
    }
    let folder = scratch().join("node");
    fs::create_dir_all(&folder)?;
    let wanted = fs::read_to_string(source.join("package.json"))?;
    let stamp = folder.join("installed.txt");
    if !is_current(&stamp, &wanted) {
        fs::write(folder.join("package.json"), &wanted)?;
        // Every version is pinned in package.json. A lock file would name the registry, which each machine configures.
        let quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        sh::run(sh::command("npm").arg("install").args(quiet).current_dir(&folder))?;
        fs::write(&stamp, wanted)?;
    }
    Ok(())
}

fn is_current(stamp: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|installed| installed == wanted)
}
