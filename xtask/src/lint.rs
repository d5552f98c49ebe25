//! `cargo xtask lint`: formatting, clippy, licences and sources, unused dependencies, tidy.

use anyhow::{Result, bail};

use crate::report::Report;
use crate::{sh, tidy};

/// # Errors
/// When any check failed, or a checker is not installed.
pub fn run() -> Result<()> {
    let mut report = Report::new();
    report.part("tidy", tidy::run);
    report.part("formatting", || sh::run(sh::cargo().args(["fmt", "--all", "--check"])));
    report.part("clippy", || {
        sh::run(sh::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    report.part("bans, licences and sources", || {
        installed("cargo-deny")?;
        sh::run(sh::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
    });
    report.part("unused dependencies", || {
        installed("cargo-machete")?;
        sh::run(sh::cargo().arg("machete"))
    });
    // The database comes over the network; without it there is nothing to check against.
    match installed("cargo-deny").and_then(|()| sh::read(sh::cargo().args(["deny", "fetch", "db"]))) {
        Ok(_) => {
            report.part("security advisories", || {
                sh::run(sh::cargo().args(["deny", "check", "--disable-fetch", "advisories"]))
            });
        }
        Err(error) => report.skip(format!("security advisories: {error:#}")),
    }
    report.finish()
}

fn installed(program: &str) -> Result<()> {
    if sh::which(program).is_none() {
        bail!("{program} is missing. To install it: cargo install --locked {program}");
    }
    Ok(())
}
