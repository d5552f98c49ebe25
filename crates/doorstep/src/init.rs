//! `doorstep init`: looks at a folder, and writes a `doorstep.toml` for what is in it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
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
    let user = app_user(&dir);
    let options = Options { name: args.name, user: user.as_ref().map(|user| user.name.clone()) };
    let found = look(&dir, options).map_err(|error| failure(&error))?;
    write(&path, &found.config(), args.force).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => taken(&path),
        _ => Failure::new(Code::Failed, format!("{} cannot be written", path.display())).because(cause(&error)),
    })?;
    crate::print(said(&found, user.as_ref(), &dir, &path).as_bytes())
}

/// What was found, what was assumed, and what to do next.
fn said(found: &Found, user: Option<&AppUser>, dir: &Path, path: &Path) -> String {
    let mut text = format!("Found {}.\nWrote {}.\n", found.sentence(), path.display());
    let user = user.filter(|_| found.has_apps()).map(|user| user.said.clone());
    let assumed = found.assumptions().into_iter().chain(user).collect();
    for (title, sentences) in [("Assumed", assumed), ("Still to do", found.remarks())] {
        if !sentences.is_empty() {
            text += &format!("\n{title}:\n");
            text.extend(sentences.iter().map(|sentence| format!("  - {sentence}\n")));
        }
    }
    let enter = if dir == Path::new(".") { String::new() } else { format!("  cd {}\n", dir.display()) };
    let sites = found.sites().join(", ");
    text + &format!(
        "\nNext:\n{enter}  doorstep check   says whether all of it makes sense\n  doorstep up      starts {sites}, and says where it is\n"
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

/// Who apps run as, and a sentence about it.
struct AppUser {
    name: String,
    said: String,
}

/// Who runs doorstep runs the apps too, unless that is root: then whom the folder belongs to, or, if that is root as well,
/// somebody without rights who can read it.
fn app_user(dir: &Path) -> Option<AppUser> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let owner = fs::metadata(dir).ok()?.uid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name_of = |uid: u32| users.lines().find_map(|line| name_if(line, |id| id == uid.to_string()));
    if owner != 0 {
        let name = name_of(owner)?;
        let said = format!("The app runs as {name}, whom the folder belongs to.");
        return Some(AppUser { name, said });
    }
    let there = |wanted: &str| users.lines().any(|line| line.starts_with(&format!("{wanted}:")));
    match ["www-data", "nobody"].into_iter().find(|name| there(name)) {
        Some(name) if is_open_to_all(dir) => Some(AppUser {
            name: name.to_owned(),
            said: format!("The app runs as {name}, who can read the folder and write nothing in it."),
        }),
        _ => Some(AppUser {
            name: "root".to_owned(),
            said: "The app runs as root, because nobody else can read its folder. Better: give it a user of its own, \
                   and the folder to that user."
                .to_owned(),
        }),
    }
}

/// The name in a line of /etc/passwd whose user id is right.
fn name_if(line: &str, is_right: impl Fn(&str) -> bool) -> Option<String> {
    let mut fields = line.split(':');
    let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
    is_right(uid).then(|| name.to_owned())
}

/// Whether everybody may enter the folder, and all that it lies in.
fn is_open_to_all(dir: &Path) -> bool {
    let Ok(whole) = dir.canonicalize() else { return false };
    let lets = |path: &Path, bits| fs::metadata(path).is_ok_and(|meta| meta.mode() & bits == bits);
    lets(&whole, 0o005) && whole.ancestors().skip(1).all(|path| lets(path, 0o001))
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
