//! What all parts of parsing share: the sources, what was found, what is secret, what is still missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorstep_model::{Pem, Severity};

use crate::diagnostic::{Diagnostic, Mark, Text};
use crate::sources::{FileState, PathKind, Sources, Wants};
use crate::tree::{Node, Place};
use crate::{Privileges, limits, mask};

pub(crate) struct Context<'s> {
    pub(crate) sources: &'s Sources,
    pub(crate) privileges: Privileges,
    /// Configuration files, in the order in which they were read; places name them by number.
    pub(crate) files: Vec<File<'s>>,
    pub(crate) wants: Wants,
    /// Values that no snippet may show.
    pub(crate) secrets: Vec<Place>,
    found: Vec<Draft>,
}

pub(crate) struct File<'s> {
    pub(crate) path: PathBuf,
    pub(crate) text: &'s str,
    pub(crate) world_readable: bool,
    /// Warned about already.
    pub(crate) warned: bool,
    /// What is secret in it cannot be known from the tree alone.
    pub(crate) malformed: bool,
}

/// A diagnostic whose snippets are not masked yet.
pub(crate) struct Draft {
    severity: Severity,
    id: &'static str,
    message: String,
    marks: Vec<(Place, String, bool)>,
    note: String,
    help: String,
}

impl Draft {
    /// A word about the culprit.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        if let Some(mark) = self.marks.first_mut() {
            mark.1 = label.into();
        }
        self
    }

    /// Another place that has to do with it.
    pub(crate) fn also(&mut self, place: &Place, label: impl Into<String>) -> &mut Self {
        self.marks.push((place.clone(), label.into(), false));
        self
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.note = note.into();
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = help.into();
        self
    }

    /// "Did you mean", if something is near.
    pub(crate) fn meant(&mut self, meant: Option<&str>) -> &mut Self {
        if let Some(meant) = meant {
            self.help = format!("did you mean `{meant}`?");
        }
        self
    }
}

impl<'s> Context<'s> {
    pub(crate) fn new(sources: &'s Sources, privileges: Privileges) -> Self {
        Self { sources, privileges, files: Vec::new(), wants: Wants::default(), secrets: Vec::new(), found: Vec::new() }
    }

    pub(crate) fn error(&mut self, id: &'static str, place: &Place, message: impl Into<String>) -> &mut Draft {
        self.draft(Severity::Error, id, Some(place), message.into())
    }

    pub(crate) fn warning(&mut self, id: &'static str, place: &Place, message: impl Into<String>) -> &mut Draft {
        self.draft(Severity::Warning, id, Some(place), message.into())
    }

    /// An error that is not about a place in a file.
    pub(crate) fn error_nowhere(&mut self, id: &'static str, message: impl Into<String>) -> &mut Draft {
        self.draft(Severity::Error, id, None, message.into())
    }

    fn draft(&mut self, severity: Severity, id: &'static str, place: Option<&Place>, message: String) -> &mut Draft {
        let marks = place.map(|place| (place.clone(), String::new(), true)).into_iter().collect();
        let at = self.found.len();
        self.found.push(Draft { severity, id, message, marks, note: String::new(), help: String::new() });
        &mut self.found[at]
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|draft| draft.severity == Severity::Error)
    }

    /// A file that the configuration names; the error is the reason.
    pub(crate) fn read(&mut self, path: &Path) -> Result<(&'s str, bool), String> {
        match self.sources.files.get(path) {
            Some(FileState::Read { text, world_readable }) => Ok((text, *world_readable)),
            Some(FileState::Failed(reason)) => Err(reason.clone()),
            None => {
                self.wants.files.push(path.to_owned());
                Err("there is no such file".to_owned())
            }
        }
    }

    pub(crate) fn kind(&mut self, path: &Path) -> PathKind {
        self.sources.folders.get(path).copied().unwrap_or_else(|| {
            self.wants.folders.push(path.to_owned());
            PathKind::Unknown
        })
    }

    pub(crate) fn matching(&mut self, pattern: &Path) -> Vec<PathBuf> {
        self.sources.globs.get(pattern).cloned().unwrap_or_else(|| {
            self.wants.globs.push(pattern.to_owned());
            Vec::new()
        })
    }

    pub(crate) fn variable(&mut self, name: &str) -> Option<&'s str> {
        match self.sources.env.get(name) {
            Some(value) => value.as_deref(),
            None => {
                self.wants.env.push(name.to_owned());
                None
            }
        }
    }

    /// `text` as a path, from the folder of the file that it stands in.
    pub(crate) fn path(&self, node: &Node, text: &str) -> PathBuf {
        let folder = self.files.get(node.place.file).and_then(|file| file.path.parent());
        let joined = folder.unwrap_or(Path::new("/")).join(text);
        joined.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
    }

    /// `path`, which `node` names, as it may stand in a message: the value of a variable may be a secret.
    pub(crate) fn shown(node: &Node, path: &Path) -> String {
        if node.raw().contains("${") { node.raw().to_owned() } else { path.display().to_string() }
    }

    /// The file that `node` names, as PEM with at least one `label` block in it; reports what is wrong with it.
    pub(crate) fn pem(&mut self, node: &Node, label: &str) -> Option<Pem> {
        let path = self.path(node, node.text()?);
        let text = self.named_file(node, &path)?.0;
        if !text.contains("-----BEGIN ") || !text.contains(label) {
            self.error("not-pem", &node.place, format!("`{}` has no {} in it", node.raw(), label.to_ascii_lowercase()))
                .note(format!("a PEM file with `-----BEGIN … {label}-----` is expected"));
            return None;
        }
        Some(Pem { path, text: Arc::from(text) })
    }

    /// The text of the file that `node` names, and whether anybody may read it.
    pub(crate) fn named_file(&mut self, node: &Node, path: &Path) -> Option<(&'s str, bool)> {
        match self.read(path) {
            Ok(read) => Some(read),
            Err(reason) => {
                let shown = node.raw().strip_prefix("file:").unwrap_or(node.raw()).to_owned();
                let full = path.display().to_string();
                let draft = self.error("unreadable-file", &node.place, format!("`{shown}` cannot be read: {reason}"));
                if shown != full && !shown.contains("${") {
                    draft.note(format!("relative paths start at the folder of the file they stand in: {full}"));
                }
                None
            }
        }
    }

    /// Everything that was found, in the order of the files, with masked snippets.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let texts: Vec<Arc<Text>> = self
            .files
            .iter()
            .enumerate()
            .map(|(number, file)| {
                let secrets = self.secrets.iter().filter(|place| place.file == number).map(|place| &place.span);
                let text = mask::mask(file.text, secrets, file.malformed);
                Arc::new(Text { path: file.path.clone(), text })
            })
            .collect();
        let mut found = self.found;
        without_echoes(&mut found, &self.files);
        found.sort_by_key(|draft| draft.marks.first().map(|(place, ..)| (place.file, place.span.start)));
        let more = found.len().saturating_sub(limits::DIAGNOSTICS);
        found.truncate(limits::DIAGNOSTICS);
        let mut diagnostics: Vec<Diagnostic> = found.into_iter().map(|draft| draft.finish(&texts)).collect();
        if more > 0 {
            diagnostics.push(Diagnostic {
                severity: Severity::Error,
                id: "more",
                message: format!("{more} more errors and warnings are not shown"),
                marks: Vec::new(),
                note: String::new(),
                help: String::new(),
            });
        }
        diagnostics
    }
}

/// Of a line that is broken in its syntax, only the first thing that is wrong with it: the rest follows from that.
fn without_echoes(found: &mut Vec<Draft>, files: &[File<'_>]) {
    let line = |draft: &Draft| {
        let place = &draft.marks.first()?.0;
        let text = files.get(place.file).filter(|file| file.malformed)?.text;
        Some((place.file, text.bytes().take(place.span.start).filter(|byte| *byte == b'\n').count()))
    };
    let mut broken = HashSet::new();
    let mut kept = Vec::new();
    for draft in found.extract_if(.., |draft| draft.id == SYNTAX) {
        if line(&draft).is_none_or(|line| broken.insert(line)) {
            kept.push(draft);
        }
    }
    found.retain(|draft| line(draft).is_none_or(|line| !broken.contains(&line)));
    found.extend(kept);
}

/// The id of errors of syntax.
pub(crate) const SYNTAX: &str = "syntax";

impl Draft {
    fn finish(self, texts: &[Arc<Text>]) -> Diagnostic {
        let marks = self.marks.into_iter().filter_map(|(place, label, primary)| {
            let source = Arc::clone(texts.get(place.file)?);
            Some(Mark { source, span: place.span, label, primary })
        });
        Diagnostic {
            severity: self.severity,
            id: self.id,
            message: self.message,
            marks: marks.collect(),
            note: self.note,
            help: self.help,
        }
    }
}
