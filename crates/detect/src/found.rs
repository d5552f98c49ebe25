//! What was found, before it becomes the text of a file.

use std::path::PathBuf;

/// One app or site of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it lives, relative to the folder that was looked at; empty for that folder itself.
    pub folder: PathBuf,
    /// What it is, with an article, and by which file it was recognised: "a Flask app (`app.py`)".
    pub what: String,
    pub serve: Serve,
    /// What was assumed, and may be wrong; each is a sentence.
    pub assumed: Vec<String>,
    /// What must be done before it works, or works well; each is a sentence or two.
    pub todo: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    App(Program),
    /// Files, as they are.
    Files(Files),
    /// A program that does not listen: no site leads to it.
    Worker(Program),
}

/// A program that doorstep is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Another name than the folder's.
    pub name: Option<String>,
    pub start: Start,
    /// Plain values for its environment.
    pub env: Vec<(&'static str, String)>,
    pub pre_start: Vec<String>,
    /// Django: where static files are served.
    pub collectstatic: Option<String>,
    /// It uses WebSockets or server-sent events, or keeps state in memory: more than one instance needs thought.
    pub keep_one: Option<String>,
    /// Whether its routes already begin with `/api`.
    pub knows_api: bool,
    /// It renders pages for people: where there is an API beside it, `/` is its own.
    pub is_frontend: bool,
}

/// How a program is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// By `sh -c`, with `$PORT` in its environment.
    Run(String),
    /// `module:attribute`, or `module:factory()`.
    Python(String),
}

impl Default for Start {
    fn default() -> Self {
        Self::Run(String::new())
    }
}

/// A folder of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Relative to the part's folder; empty for that folder itself.
    pub root: PathBuf,
    /// Unknown paths are the start page.
    pub spa: bool,
    /// It has no start page: visitors see a list.
    pub listing: bool,
    /// What makes the files, if they are made.
    pub build: Option<String>,
}

impl Part {
    pub fn new(folder: impl Into<PathBuf>, what: impl Into<String>, serve: Serve) -> Self {
        Self { folder: folder.into(), what: what.into(), serve, assumed: Vec::new(), todo: Vec::new() }
    }

    #[must_use]
    pub fn assuming(mut self, sentence: impl Into<String>) -> Self {
        self.assumed.push(sentence.into());
        self
    }

    #[must_use]
    pub fn todo(mut self, sentence: impl Into<String>) -> Self {
        self.todo.push(sentence.into());
        self
    }
}
