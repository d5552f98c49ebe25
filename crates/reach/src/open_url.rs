use std::process::{Command, Stdio};

use crate::ReachError;

/// Opens `url` in the default browser and does not wait for it. It keeps running when doorstep ends, and writes
/// nothing to this terminal.
///
/// # Errors
/// There is no desktop, or the program that opens addresses is missing. A caller that only meant to be helpful may
/// drop the error.
pub fn open_url(url: &str) -> Result<(), ReachError> {
    let mut command = opener(url)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // In a group of its own, so that Ctrl-C in this terminal ends doorstep and not the browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|source| ReachError::Run { program, source })?;
    // Somebody must collect the child's exit status. If no thread is to be had, the system does it when doorstep ends.
    let _ = std::thread::Builder::new().name("browser".into()).spawn(move || child.wait());
    Ok(())
}

#[cfg(target_os = "macos")]
fn opener(url: &str) -> Result<Command, ReachError> {
    let mut command = Command::new("open");
    command.arg(url);
    Ok(command)
}

#[cfg(windows)]
fn opener(url: &str) -> Result<Command, ReachError> {
    let mut command = Command::new("rundll32");
    command.args(["url.dll,FileProtocolHandler", url]);
    Ok(command)
}

#[cfg(not(any(target_os = "macos", windows)))]
fn opener(url: &str) -> Result<Command, ReachError> {
    // Without a desktop xdg-open would start a text browser on this terminal.
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"];
    if !desktop.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Err(ReachError::Browser(
            "there is no desktop here (neither DISPLAY nor WAYLAND_DISPLAY is set)".into(),
        ));
    }
    let mut command = Command::new("xdg-open");
    command.arg(url);
    Ok(command)
}
