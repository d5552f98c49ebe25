//! What is wrong with a configuration: at which place, why, and what to write instead.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};
use doorstep_model::Severity;
use serde_json::json;

/// One thing that is wrong, or that somebody should look at.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, for programs, in kebab-case: `unknown-key`.
    pub id: &'static str,
    /// One sentence: what is wrong.
    pub message: String,
    /// Where; empty if it is about a file that could not be read.
    pub marks: Vec<Mark>,
    /// Why it matters or what is possible instead. May be empty.
    pub note: String,
    /// What to do, as an exact line where there is one. May be empty.
    pub help: String,
}

/// A stretch of a file, with a word about it.
#[derive(Clone, Debug)]
pub struct Mark {
    pub source: Arc<Text>,
    /// Bytes of the file.
    pub span: Range<usize>,
    /// May be empty.
    pub label: String,
    /// Whether this is the culprit, not only something that belongs to it.
    pub primary: bool,
}

/// A file's text as it may be shown: what is secret in it is replaced by `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub path: PathBuf,
    pub(crate) text: String,
}

impl Mark {
    /// Line and column of the start, both from 1; columns count characters.
    pub fn position(&self) -> (usize, usize) {
        position(&self.source.text, self.span.start)
    }
}

impl Diagnostic {
    /// As a person reads it: the line with a caret. `styled` adds colours; paths are shown relative to `folder`.
    pub fn render(&self, styled: bool, folder: &Path) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut main = Group::with_title(level.primary_title(&self.message).id(self.id));
        let mut elements: Vec<Element<'_>> = Vec::new();
        for source in self.files() {
            let snippet = Snippet::source(&source.text).path(shown(&source.path, folder));
            let annotations = self.marks.iter().filter(|mark| Arc::ptr_eq(&mark.source, source)).map(|mark| {
                let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                let annotation = kind.span(printable(&source.text, &mark.span));
                if mark.label.is_empty() { annotation } else { annotation.label(&mark.label) }
            });
            elements.push(snippet.annotations(annotations).into());
        }
        if !self.note.is_empty() {
            elements.push(Level::NOTE.message(&self.note).into());
        }
        if !self.help.is_empty() {
            elements.push(Level::HELP.message(&self.help).into());
        }
        main = main.elements(elements);
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let text = renderer.decor_style(DecorStyle::Ascii).render(&[main]);
        // Without a snippet, the rule that would lead down from it leads nowhere.
        let lines = |text: &str| text.lines().filter(|line| !is_rule(line)).collect::<Vec<_>>().join("\n");
        if self.marks.is_empty() { lines(&text) } else { text }
    }

    /// For programs: `severity`, `id`, `message`, `note`, `help`, and of the first mark `file`, `line`, `column`, `end_line`,
    /// `end_column`, `label`; further marks are in `related`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut value = json!({
            "severity": self.severity,
            "id": self.id,
            "message": self.message,
        });
        let texts = [("note", &self.note), ("help", &self.help)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            value[key] = json!(text);
        }
        let mut marks = self.marks.iter().map(mark_json);
        if let (Some(serde_json::Value::Object(first)), Some(object)) = (marks.next(), value.as_object_mut()) {
            object.extend(first);
        }
        let related: Vec<_> = marks.collect();
        if !related.is_empty() {
            value["related"] = json!(related);
        }
        value
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Each file once, the culprit's first.
    fn files(&self) -> Vec<&Arc<Text>> {
        let mut files: Vec<&Arc<Text>> = Vec::new();
        for mark in &self.marks {
            if !files.iter().any(|known| Arc::ptr_eq(known, &mark.source)) {
                files.push(&mark.source);
            }
        }
        files
    }
}

/// Whether a line, colours aside (ECMA-48 section 8.3.117), is nothing but a rule.
fn is_rule(line: &str) -> bool {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    rest.fold(first, |text, part| text + part).trim() == "|"
}

fn mark_json(mark: &Mark) -> serde_json::Value {
    let (line, column) = mark.position();
    let (end_line, end_column) = position(&mark.source.text, mark.span.end);
    json!({
        "file": mark.source.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "label": mark.label,
    })
}

fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// `span` cut to its first line, and to what the text has.
fn printable(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    match text[start..end].find('\n') {
        Some(newline) => start..start + newline,
        None => start..end,
    }
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor(text, at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_place_there_is_no_rule() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            id: "unreadable-file",
            message: "there is no such file".to_owned(),
            marks: Vec::new(),
            note: String::new(),
            help: "make one".to_owned(),
        };
        let plain = diagnostic.render(false, Path::new("/"));
        assert_eq!(plain, "error[unreadable-file]: there is no such file\n = help: make one");
        let styled = diagnostic.render(true, Path::new("/"));
        assert_eq!(styled.lines().count(), 2, "{styled:?}");
    }
}
