//! From sources to a spec.

use std::path::PathBuf;

use doorstep_model::Spec;

use crate::Privileges;
use crate::context::Context;
use crate::diagnostic::Diagnostic;
use crate::sources::{Sources, Wants};
use crate::{load, lower};

/// What came of a configuration.
#[derive(Debug)]
pub struct Outcome {
    /// There if there is no error; warnings leave it.
    pub spec: Option<Spec>,
    /// In the order of the files and of their lines.
    pub diagnostics: Vec<Diagnostic>,
    folder: PathBuf,
}

impl Outcome {
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// All diagnostics for a person, a blank line between them.
    pub fn render(&self, styled: bool) -> String {
        let all: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| diagnostic.render(styled, &self.folder)).collect();
        all.join("\n\n")
    }
}

/// The spec that `sources` describe, or all reasons why they describe none. No IO; never panics.
pub fn parse(sources: &Sources, privileges: Privileges) -> Outcome {
    let (spec, context) = run(sources, privileges);
    let diagnostics = context.finish();
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    Outcome { spec: spec.filter(|_| !failed), diagnostics, folder: sources.folder().to_owned() }
}

/// The files that `sources` are written in: the file itself and those it includes.
pub(crate) fn written_in(sources: &Sources) -> Vec<PathBuf> {
    let (_, context) = run(sources, Privileges::default());
    context.files.into_iter().map(|file| file.path).collect()
}

/// What `sources` lack to be parsed.
pub(crate) fn wanted(sources: &Sources, privileges: Privileges) -> Wants {
    run(sources, privileges).1.wants
}

fn run(sources: &Sources, privileges: Privileges) -> (Option<Spec>, Context<'_>) {
    let mut context = Context::new(sources, privileges);
    let spec = load::load(&mut context).map(|file| {
        let spec = lower::spec(&mut context, &file);
        debug_assert!(
            context.has_errors() || !context.wants.is_empty() || file.unused().is_none(),
            "accepted and ignored: {:?}",
            file.unused()
        );
        spec
    });
    (spec, context)
}
