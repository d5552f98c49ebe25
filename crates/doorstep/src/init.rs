//! `doorstep init`: looks at a folder, and writes a `doorstep.toml` for what is in it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use doorstep_detect::{Found, LookError, Options, look};

use crate::args::InitArgs;
use crate::exit::{Code, Failure, cause};

/// The name of the file that is written.
const FILE: &str = "doorstep.toml";

/// # Errors
/// When there is nothing to write for, or the file cannot be written, or is there already.
pub fn run(args: InitArgs) -> Result<ExitCode, Failure> {
    let dir = args.dir.unwrap_or_else(|| PathBuf::from("."));
    let path = dir.join(FILE);
    if !args.force && fs::symlink_metadata(&path).is_ok() {
        return Err(taken(&path));
    }
    let found = look(&dir, Options { name: args.name }).map_err(|error| failure(&error))?;
    write(&path, &found.config(), args.force).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(&path),
        _ => Failure::new(Code::Failed, format!("{} cannot be written", path.display())).because(cause(&error)),
    })?;
    crate::print(said(&found, &dir, &path).as_bytes())
}

/// What was found, what was assumed, and what to do next.
fn said(found: &Found, dir: &Path, path: &Path) -> String {
    let mut text = format!("Found {}.\nWrote {}.\n", found.sentence(), path.display());
    for (title, sentences) in [("Assumed", found.assumptions()), ("Still to do", found.remarks())] {
        if !sentences.is_empty() {
            text += &format!("\n{title}:\n");
            text.extend(sentences.iter().map(|sentence| format!("  - {sentence}\n")));
        }
    }
    let enter = if dir == Path::new(".") { String::new() } else { format!("  cd {}\n", dir.display()) };
    let sites: Vec<String> = found.sites().iter().map(|host| format!("https://{host}")).collect();
    let sites = sites.join(", ");
    text + &format!(
        "\nNext:\n{enter}  doorstep check   says whether all of it makes sense\n  doorstep up      makes it {sites}\n"
    )
}

/// Without `force`, only where no file is; with it, whole or not at all.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if !force {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        return file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
            // Half a file would be in the way of the next try.
            let _ = fs::remove_file(path);
        });
    }
    let beside = path.with_file_name(format!(".{FILE}.{}", std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

fn taken(path: &Path) -> Failure {
    Failure::new(Code::Failed, format!("{} is there already, and stays as it is", path.display()))
        .fix("add --force to replace it, or `doorstep check` to see whether it makes sense")
}

fn failure(error: &LookError) -> Failure {
    Failure::new(Code::Target, error.to_string()).fix(error.fix())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        write(&path, "one", false).unwrap();
        assert_eq!(write(&path, "two", false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "three", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
