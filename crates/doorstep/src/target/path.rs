//! Targets that are folders and files.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path};

use doorstep_model::{Action, FileOptions, UploadPolicy};

use super::{Target, shown};
use crate::args::ShareArgs;
use crate::exit::{Code, Failure, cause};
use crate::look;
use crate::screen::{Kind, bytes};

/// The folder or file at `path`, if it can be read.
pub fn target(path: &Path, args: &ShareArgs) -> Result<Target, Failure> {
    let real = path.canonicalize().map_err(|error| unreachable(path, &error))?;
    let about = real.metadata().map_err(|error| unreachable(path, &error))?;
    let options = options(args);
    let given = args.target.as_ref().map_or_else(|| ".".to_owned(), |word| word.to_string_lossy().into_owned());
    // Dots alone tell nobody which folder it is.
    let nameless = path.components().all(|part| !matches!(part, Component::Normal(_)));
    let title = if nameless { real.display().to_string() } else { shown(path) };
    if about.is_dir() {
        std::fs::read_dir(&real).map_err(|error| unreadable(path, &error))?;
        if args.upload || args.upload_only {
            writable(path, &real)?;
        }
        let findings = look::folder(&real, options.hidden);
        let action = Action::Folder { root: real, options };
        return Ok(Target { given, kind: Kind::Folder, title, detail: String::new(), action, findings, spool: None });
    }
    if !about.is_file() {
        return Err(Failure::new(Code::Target, format!("{} is neither a folder nor a file", shown(path)))
            .because("Pipes, sockets and devices have no end that a visitor could download.")
            .fix("Read it into doorstep: … | doorstep share -"));
    }
    File::open(&real).map_err(|error| unreadable(path, &error))?;
    let findings = look::file(&real);
    let detail = bytes(about.len());
    let action = Action::File { path: real, options };
    Ok(Target { given, kind: Kind::File, title, detail, action, findings, spool: None })
}

fn options(args: &ShareArgs) -> FileOptions {
    let max_bytes = args.max_upload;
    let upload = match (args.upload, args.upload_only) {
        (_, true) => UploadPolicy::Only { max_bytes },
        (true, false) => UploadPolicy::Allowed { max_bytes },
        (false, false) => UploadPolicy::Off,
    };
    FileOptions { spa: args.spa, cors: args.cors, hidden: args.hidden, no_listing: false, upload }
}

fn unreachable(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(path),
        _ => unreadable(path, error),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::PermissionDenied {
        return Failure::new(Code::Target, format!("you may not read {}", shown(path)))
            .because("Its owner, or the owner of a folder above it, keeps it from you.")
            .fix(format!("See who owns it: ls -ld {}", shown(path)));
    }
    Failure::new(Code::Target, format!("{} cannot be read: {}", shown(path), cause(error)))
}

fn writable(path: &Path, real: &Path) -> Result<(), Failure> {
    rustix::fs::access(real, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|error| {
        Failure::new(Code::Target, format!("visitors cannot add files to {}: {}", shown(path), cause(&error.into())))
            .fix(format!("Make it writable for you: chmod u+w {}", shown(path)))
    })
}

fn missing(path: &Path) -> Failure {
    let failure = Failure::new(Code::Target, format!("there is no {}", shown(path)));
    // The first part of the path that is missing is the one that may be misspelt.
    let gone = path.ancestors().filter(|part| !part.as_os_str().is_empty()).take_while(|part| !part.exists()).last();
    let gone = gone.unwrap_or(path);
    let name = gone.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = gone.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(near) = nearest(folder, &name) {
        let rest = path.strip_prefix(gone).ok().filter(|rest| !rest.as_os_str().is_empty());
        let guess = gone.with_file_name(near);
        return failure.fix(format!("Did you mean {}?", rest.map_or(shown(&guess), |rest| shown(&guess.join(rest)))));
    }
    if path.components().count() == 1 && name.contains('.') && !name.starts_with('.') {
        return failure.fix(format!("For a website or an app, write http://{name}"));
    }
    failure.fix(format!("Look what there is: ls {}", shown(folder)))
}

/// The entry of `folder` whose name is most like `name`, if one is.
fn nearest(folder: &Path, name: &str) -> Option<String> {
    const LOOKED_AT: usize = 10_000;
    let wanted = name.to_lowercase();
    let entries = std::fs::read_dir(folder).ok()?.take(LOOKED_AT).flatten();
    let scored = entries.filter_map(|entry| {
        let candidate = entry.file_name().into_string().ok()?;
        let lower = candidate.to_lowercase();
        let score = strsim::normalized_damerau_levenshtein(&lower, &wanted);
        // `photo` for `photo.jpg` is a likely slip too, though far away letter by letter.
        let stem = !wanted.is_empty() && lower.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('.'));
        (score >= 0.6 || stem).then_some((if stem { score.max(0.9) } else { score }, candidate))
    });
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_suggests_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("photos/italy")).unwrap();
        std::fs::write(folder.path().join("report.pdf"), "").unwrap();
        let cases =
            [("phtos", "photos"), ("Photos", "photos"), ("report", "report.pdf"), ("fotos/italy", "photos/italy")];
        for (wrong, right) in cases {
            let failure = missing(&folder.path().join(wrong));
            let right = folder.path().join(right);
            assert_eq!(failure.fix, format!("Did you mean {}?", right.display()), "{wrong}");
        }
        assert!(missing(&folder.path().join("zzzzzz")).fix.starts_with("Look what there is"));
    }
}
