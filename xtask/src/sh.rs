//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where Cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A command in the workspace's folder, without what Cargo set for xtask itself.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy().into_owned();
        if ours.starts_with("CARGO_PKG_") || ours == "CARGO_MANIFEST_DIR" || ours == "CARGO_MANIFEST_PATH" {
            command.env_remove(name);
        }
    }
    command
}

/// The same Cargo that runs xtask.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end with its output on the terminal.
///
/// # Errors
/// When it cannot be started, or ends with anything but success.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end and gives what it printed.
///
/// # Errors
/// When it cannot be started, or ends with anything but success; its standard error is part of the message.
pub fn read(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program of that name is on the PATH, or where Debian keeps the administrator's.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The command line as a person would type it.
fn shown(command: &Command) -> String {
    let here = format!("{}/", root().display());
    let program = match command.get_program().to_string_lossy().strip_prefix(&here) {
        Some(inside) => inside.to_owned(),
        None => Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().replace(&here, ""));
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
