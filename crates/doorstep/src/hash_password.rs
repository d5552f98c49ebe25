//! `doorstep hash-password`: the hash that stands in `doorstep.toml` in place of a password.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::exit::{Code, Failure, cause};
use crate::limits;

pub const EXAMPLES: &str = "\
Asks for the password twice, or reads one line if standard input is not a terminal. Then:

  [site.\"example.com\"]
  password = { anna = \"$argon2id$…\" }";

/// Prints an argon2id hash of the password that is typed or piped in.
///
/// # Errors
/// When there is no password, the two differ, or the terminal does not play along.
pub fn run() -> Result<ExitCode, Failure> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() {
        let password = asked("Password: ")?;
        if asked("Once more: ")? != password {
            return Err(Failure::new(Code::Failed, "the two passwords differ").fix("doorstep hash-password"));
        }
        password
    } else {
        line(&mut stdin.lock())?
    };
    crate::print(format!("{}\n", hash(&password)?).as_bytes())
}

fn hash(password: &str) -> Result<String, Failure> {
    if password.is_empty() {
        return Err(Failure::new(Code::Failed, "there is no password").fix("type one, or pipe one in"));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| Failure::new(Code::Failed, format!("no hash could be made: {error}")))?.to_string())
}

/// A line from the terminal that nobody can read over the shoulder.
fn asked(question: &str) -> Result<String, Failure> {
    let failed =
        |error: io::Error| Failure::new(Code::Failed, format!("the terminal cannot be used: {}", cause(&error)));
    let stdin = io::stdin();
    eprint!("{question}");
    io::stderr().flush().map_err(failed)?;
    let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let read = line(&mut stdin.lock());
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    restored.map_err(|error| failed(error.into()))?;
    read
}

/// One line without its end, of a bounded length.
fn line(from: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    let read = from.take(limits::PASSWORD_BYTES).read_line(&mut line);
    read.map_err(|error| Failure::new(Code::Failed, format!("no password could be read: {}", cause(&error))))?;
    if line.len() as u64 == limits::PASSWORD_BYTES {
        return Err(Failure::new(Code::Failed, format!("a password has less than {} bytes", limits::PASSWORD_BYTES)));
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorstep_config::{Privileges, Sources, parse};

    #[test]
    fn makes_what_the_configuration_takes() {
        let hash = hash("hunter2").unwrap();
        let text = format!("[site.default]\nrespond = \"hi\"\npassword = {{ anna = \"{hash}\" }}\n");
        let sources = Sources::from_text("/doorstep.toml".as_ref(), &text);
        let outcome = parse(&sources, Privileges::default());
        assert!(outcome.spec.is_some(), "{}", outcome.render(false));
    }

    #[test]
    fn one_line_of_some_length() {
        assert_eq!(line(&mut "süß\r\nnot this".as_bytes()).unwrap(), "süß");
        assert!(line(&mut "x".repeat(5000).as_bytes()).is_err());
        assert!(super::hash("").is_err());
    }
}
