//! From a program's name to the program.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Launch;
use crate::error::cause;
use crate::identity::Identity;
use crate::{Refusal, Step};

/// Where programs are looked for unless the environment says otherwise.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest first line of a script that is read for an error's words; the kernel reads 256 bytes.
const FIRST_LINE: u64 = 256;

/// The file to execute.
pub(super) fn find(launch: &Launch, identity: &Identity) -> Result<PathBuf, Refusal> {
    let Some(name) = launch.argv.first().filter(|name| !name.is_empty()) else {
        return Err(Refusal::new(Step::Program, "no program is named", "Name one in `run`."));
    };
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let given = launch.env.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.reveal().as_str());
    let path = given.unwrap_or(DEFAULT_PATH);
    let candidates = path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name));
    let mut denied = None;
    for candidate in candidates.filter(|candidate| candidate.is_file()) {
        if rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK).is_ok() {
            return Ok(candidate);
        }
        denied.get_or_insert(candidate);
    }
    if let Some(denied) = denied {
        return Err(not_executable(&denied, identity));
    }
    let what = format!("the program {name} is in none of the folders of PATH ({path})");
    Err(Refusal::new(Step::Program, what, format!("Install {name}, or write its whole path.")))
}

/// Becomes `program`; returns only when that failed.
pub(super) fn execute(program: &Path, argv: &[String], environment: &[CString], identity: &Identity) -> Refusal {
    let Ok(file) = CString::new(program.as_os_str().as_bytes()) else {
        return Refusal::new(Step::Program, "the program's path has a zero in it", "");
    };
    let Ok(arguments) = argv.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>() else {
        return Refusal::new(Step::Program, "an argument of the program has a zero in it", "");
    };
    let (arguments_raw, environment_raw) = (pointers(&arguments), pointers(environment));
    // SAFETY: both lists end with a null, and their strings live on.
    unsafe { libc::execve(file.as_ptr(), arguments_raw.as_ptr(), environment_raw.as_ptr()) };
    why_not(program, &io::Error::last_os_error(), identity)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

fn why_not(program: &Path, error: &io::Error, identity: &Identity) -> Refusal {
    let shown = program.display();
    match error.raw_os_error() {
        Some(libc::ENOENT) if program.exists() => {
            let interpreter = interpreter(program).unwrap_or_else(|| "its interpreter".to_owned());
            Refusal::new(
                Step::Program,
                format!("{shown} wants to be run by {interpreter}, which does not exist"),
                "Install that, or mend the first line of the file.",
            )
        }
        Some(libc::ENOENT) => {
            Refusal::new(Step::Program, format!("the program {shown} does not exist"), "Mend its path.")
        }
        Some(libc::EACCES) => not_executable(program, identity),
        Some(libc::ENOEXEC) => Refusal::new(
            Step::Program,
            format!("{shown} is no program for this computer"),
            "A script needs a first line such as `#!/bin/sh`; a binary must be built for this kind of processor.",
        ),
        Some(libc::EAGAIN) => Refusal::new(
            Step::Program,
            format!("the user {} has as many processes as it may have", identity.user.name),
            "Raise `processes` in the app's limits.",
        ),
        _ => Refusal::new(Step::Program, format!("{shown} cannot be run: {}", cause(error)), ""),
    }
}

fn not_executable(program: &Path, identity: &Identity) -> Refusal {
    let shown = program.display();
    let plain = std::fs::metadata(program).is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0);
    if plain {
        return Refusal::new(
            Step::Program,
            format!("{shown} is not executable"),
            format!("`chmod +x {shown}` makes it so."),
        );
    }
    Refusal::new(
        Step::Program,
        format!("the user {} may not run {shown}", identity.user.name),
        format!("`namei -l {shown}` shows the permissions on the way to it; a disk mounted `noexec` forbids it too."),
    )
}

/// What the first line of a script, `#!…`, names.
fn interpreter(program: &Path) -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open(program).ok()?.take(FIRST_LINE)).read_line(&mut line).ok()?;
    Some(line.strip_prefix("#!")?.split_whitespace().next()?.to_owned())
}
