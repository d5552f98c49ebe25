//! Everything that a configuration is made from, so that reading it again somewhere else needs no file system.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::trusted_open::open_trusted;
use crate::{Privileges, limits};

/// A configuration file with all that it names: included files, certificates, secrets, folders, environment variables.
///
/// Gathered by whoever may read them (the supervisor), handed to whoever may not (the worker); [`crate::parse`] says the
/// same on both sides.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Sources {
    /// The absolute path of the configuration file.
    pub root: PathBuf,
    pub(crate) files: BTreeMap<PathBuf, FileState>,
    pub(crate) folders: BTreeMap<PathBuf, PathKind>,
    /// By pattern, the files that match it, sorted.
    pub(crate) globs: BTreeMap<PathBuf, Vec<PathBuf>>,
    pub(crate) env: BTreeMap<String, Option<String>>,
}

/// A file, or why it could not be read.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum FileState {
    Read {
        text: String,
        /// Anybody on this computer may read it.
        world_readable: bool,
    },
    Failed(String),
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum PathKind {
    Missing,
    Folder,
    Other,
    /// Nobody could tell, for instance because a folder above may not be entered.
    Unknown,
}

/// What a round of parsing missed.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) globs: Vec<PathBuf>,
    pub(crate) env: Vec<String>,
}

impl Wants {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && self.globs.is_empty() && self.env.is_empty()
    }
}

impl Sources {
    /// Reads `path` and everything that it names. What cannot be read is noted, and becomes an error at its place when
    /// the sources are parsed.
    pub fn gather(path: &Path) -> Self {
        Self::gather_with(path, |name| std::env::var(name).ok())
    }

    /// As [`Sources::gather`], with environment variables from elsewhere.
    pub fn gather_with(path: &Path, env: impl Fn(&str) -> Option<String>) -> Self {
        let root = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::empty(root).complete(&env)
    }

    /// A configuration that is no file but this text, as if it stood at `path`, and everything that it names.
    pub fn gather_text(path: &Path, text: &str) -> Self {
        Self::from_text(path, text).complete(&|name| std::env::var(name).ok())
    }

    fn complete(self, env: &impl Fn(&str) -> Option<String>) -> Self {
        let mut sources = self;
        for _ in 0..limits::ROUNDS {
            // Which files are named does not depend on who asks.
            let wants = crate::parse::wanted(&sources, Privileges::default());
            if wants.is_empty() {
                break;
            }
            sources.satisfy(wants, env);
        }
        sources
    }

    /// A configuration that is this text alone; whatever it names counts as missing. For tests and editors.
    pub fn from_text(path: &Path, text: &str) -> Self {
        let mut sources = Self::empty(path.to_owned());
        let state = FileState::Read { text: text.to_owned(), world_readable: false };
        sources.files.insert(path.to_owned(), state);
        sources
    }

    /// With the files that the configuration names (certificates, secrets, password files, error pages) read again, but
    /// itself as it was; `None` if none of them has changed.
    #[must_use]
    pub fn refreshed(&self) -> Option<Self> {
        let written_in = crate::parse::written_in(self);
        let mut fresh = self.clone();
        for (path, state) in fresh.files.iter_mut().filter(|(path, _)| !written_in.contains(path)) {
            *state = read(path).unwrap_or_else(|error| FileState::Failed(reason(&error)));
        }
        (fresh != *self).then_some(fresh)
    }

    /// All files that were read or looked for, the configuration file among them: what to watch.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The folder that relative paths of the configuration file start from.
    pub fn folder(&self) -> &Path {
        self.root.parent().unwrap_or(Path::new("/"))
    }

    fn empty(root: PathBuf) -> Self {
        Self { root, files: BTreeMap::new(), folders: BTreeMap::new(), globs: BTreeMap::new(), env: BTreeMap::new() }
    }

    fn satisfy(&mut self, wants: Wants, env: &impl Fn(&str) -> Option<String>) {
        for path in wants.files {
            if self.files.len() >= limits::FILES {
                self.files.insert(path, FileState::Failed(format!("more than {} files are named", limits::FILES)));
                continue;
            }
            let state = read(&path).unwrap_or_else(|error| FileState::Failed(reason(&error)));
            self.files.insert(path, state);
        }
        for path in wants.folders {
            let kind = kind(&path);
            self.folders.insert(path, kind);
        }
        for pattern in wants.globs {
            let found = matching(&pattern);
            self.globs.insert(pattern, found);
        }
        for name in wants.env {
            let value = env(&name);
            self.env.insert(name, value);
        }
    }
}

/// Names what was read, never what it says: among it are keys and passwords.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("root", &self.root)
            .field("files", &self.files.keys())
            .field("folders", &self.folders)
            .field("globs", &self.globs)
            .field("env", &self.env.keys())
            .finish()
    }
}

fn read(path: &Path) -> io::Result<FileState> {
    let file = open_trusted(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Ok(FileState::Failed("it is a folder".to_owned()));
    }
    if !metadata.is_file() {
        return Ok(FileState::Failed("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(limits::FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Ok(FileState::Failed(format!("it is larger than {} MiB", limits::FILE_BYTES >> 20)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let world_readable = metadata.permissions().mode() & 0o004 != 0;
            Ok(FileState::Read { text, world_readable })
        }
        Err(_) => Ok(FileState::Failed("it is not text (UTF-8)".to_owned())),
    }
}

fn kind(path: &Path) -> PathKind {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => PathKind::Folder,
        Ok(_) => PathKind::Other,
        Err(error) if error.kind() == io::ErrorKind::NotFound => PathKind::Missing,
        Err(_) => PathKind::Unknown,
    }
}

/// Files whose names match the last part of `pattern`, in its folder.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Vec::new() };
    let Ok(glob) = globset::Glob::new(&name.to_string_lossy()) else { return Vec::new() };
    let matcher = glob.compile_matcher();
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| matcher.is_match(entry.file_name()) && !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.truncate(limits::FILES);
    found
}

/// The system's reason in words, without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_some() => "permission denied".to_owned(),
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::parse;

    #[test]
    fn a_changed_certificate_is_read_again_but_not_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorstep.toml");
        let pem = |label: &str, text: &str| format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        fs::write(&path, "[site.\"a.de\"]\nrespond = 204\ncertificate = { chain = \"c.pem\", key = \"k.pem\" }\n")
            .unwrap();
        fs::write(folder.path().join("c.pem"), pem("CERTIFICATE", "old")).unwrap();
        fs::write(folder.path().join("k.pem"), pem("PRIVATE KEY", "key")).unwrap();
        let sources = Sources::gather(&path);
        assert!(parse(&sources, Privileges::default()).spec.is_some());
        assert_eq!(sources.refreshed(), None);
        fs::write(&path, "nonsense").unwrap();
        fs::write(folder.path().join("c.pem"), pem("CERTIFICATE", "new")).unwrap();
        let fresh = sources.refreshed().expect("the certificate is another");
        let spec = parse(&fresh, Privileges::default()).spec.expect("the configuration is as it was");
        assert!(format!("{:?}", spec.sites[0].certificate).contains("new"));
    }

    #[test]
    fn handed_over_they_say_the_same_and_show_no_secret() {
        let text = "[site.default]\nrespond = \"${GREETING}\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorstep.toml");
        fs::write(&path, text).unwrap();
        let sources = Sources::gather_with(&path, |name| (name == "GREETING").then(|| "hunter2".to_owned()));
        let copy: Sources = serde_json::from_str(&serde_json::to_string(&sources).unwrap()).unwrap();
        assert_eq!(copy, sources);
        assert!(!format!("{sources:?}").contains("hunter2"));
        let (a, b) = (parse(&sources, Privileges::default()), parse(&copy, Privileges::default()));
        assert_eq!(format!("{:?}", a.spec), format!("{:?}", b.spec));
        assert!(a.spec.is_some());
    }
}
