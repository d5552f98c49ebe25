//! The router is asked for a port only after the person was, once.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use doorstep_store::{make_private_dir, read_private, write_private};

use crate::exit::{Code, Failure, cause};

/// In the state folder: that this person was asked.
const FILE: &str = "may-ask-router";

/// Whether the router may be asked to open `port`. Asks on the terminal, and remembers a yes.
///
/// # Errors
/// The answer was no, or there is nobody to ask.
pub fn ask(state: &Path, port: u16, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if read_private(&state.join(FILE)).is_ok() {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(Code::Usage, "--public asks the router to open a port, which nobody agreed to yet")
            .fix("Agree once on a terminal, or say --yes."));
    }
    let answer = prompt(port).unwrap_or_default();
    if !is_yes(&answer) {
        return Err(Failure::new(Code::Failed, "nothing was opened")
            .fix("Without --public the share is for your network alone. With --via it goes through a relay."));
    }
    remember(state).map_err(|error| {
        Failure::new(Code::Failed, format!("the answer cannot be kept in {}", state.display())).because(cause(&error))
    })
}

fn prompt(port: u16) -> io::Result<String> {
    let mut err = io::stderr().lock();
    write!(
        err,
        "--public opens a door from the internet to this share:\n\
         doorstep asks your router to send port {port} to this computer, for as long as it runs.\n\
         Visitors see your home's address. `doorstep undo` lists what was opened.\n\
         May it, now and from now on? [y/N] "
    )?;
    err.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn remember(state: &Path) -> io::Result<()> {
    make_private_dir(state)?;
    write_private(&state.join(FILE), b"yes\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one_and_it_is_remembered() {
        assert!(is_yes(" Y\n") && is_yes("yes") && !is_yes("") && !is_yes("yeah, no") && !is_yes("n"));
        let dir = tempfile::tempdir().unwrap();
        assert!(ask(dir.path(), 8080, true).is_ok());
        assert!(ask(dir.path(), 8080, false).is_err(), "--yes is for once, and tests have no terminal");
        remember(dir.path()).unwrap();
        assert!(ask(dir.path(), 8080, false).is_ok());
    }
}
