use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::limits;

/// Files that one names by `-r` and `-c` are followed this deep.
const DEPTH: u32 = 5;

/// Where a project says what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Requirements,
    Pyproject,
    Nothing,
}

/// What a project needs, as far as it decides whether an environment is still right.
pub(super) fn look(dir: &Path) -> (Source, Vec<u8>) {
    let mut text = Vec::new();
    if dir.join("requirements.txt").is_file() {
        gather(dir, "requirements.txt", DEPTH, &mut text);
        return (Source::Requirements, text);
    }
    if dir.join("pyproject.toml").is_file() {
        for name in ["pyproject.toml", "setup.cfg", "setup.py"] {
            text.extend(read(&dir.join(name)));
            text.push(0);
        }
        return (Source::Pyproject, text);
    }
    (Source::Nothing, text)
}

fn gather(dir: &Path, name: &str, depth: u32, text: &mut Vec<u8>) {
    let own = read(&dir.join(name));
    text.extend_from_slice(&own);
    text.push(0);
    if depth == 0 || text.len() as u64 > limits::REQUIREMENTS {
        return;
    }
    for line in String::from_utf8_lossy(&own).lines() {
        let named = ["-r", "--requirement", "-c", "--constraint"].into_iter().find_map(|option| {
            let rest = line.trim().strip_prefix(option)?;
            Some(rest.trim_start_matches(['=', ' ', '\t'])).filter(|name| !name.is_empty())
        });
        if let Some(named) = named {
            // Relative to the file that names it (pip's reference of the format).
            let folder = dir.join(name).parent().unwrap_or(dir).to_owned();
            gather(&folder, named, depth - 1, text);
        }
    }
}

/// A file's text; empty where there is none, or something that is no file.
fn read(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        let _ = file.take(limits::REQUIREMENTS).read_to_end(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn included_files_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(look(dir.path()).0, Source::Nothing);
        write("pyproject.toml", "[project]\n");
        assert_eq!(look(dir.path()).0, Source::Pyproject);
        write("requirements.txt", "flask\n-r more.txt\n");
        let (source, before) = look(dir.path());
        assert_eq!(source, Source::Requirements);
        write("more.txt", "django\n-r requirements.txt\n");
        assert_ne!(look(dir.path()).1, before);
    }
}
