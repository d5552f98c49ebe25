//! Looks at a folder, says what web apps and sites are in it, and writes a `doorstep.toml` for them.
//!
//! It reads names, and the beginnings of files that tell: nothing is run, nothing is changed, links are not followed.

mod compiled;
mod files;
mod found;
mod layout;
mod limits;
mod node;
mod other;
mod procfile;
mod project;
mod python;
mod render;
mod story;
mod tree;
mod words;

use std::io;
use std::path::{Path, PathBuf};

use doorstep_model::{Blame, Hostname};

use found::{Part, Serve};
use layout::Layout;
use project::Projects;
use tree::Tree;

/// How the file that will be written calls things.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The site's real name. Without one it is called after the folder, under `.localhost`.
    pub name: Option<Hostname>,
    /// Who apps run as. `None`: whoever runs doorstep.
    pub user: Option<String>,
}

/// What is in a folder.
#[derive(Debug)]
pub struct Found {
    parts: Vec<Part>,
    layout: Layout,
    options: Options,
    cut: bool,
}

/// Why no file can be written.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("{} cannot be read: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    /// Nothing in it is known, and it holds nothing to show.
    #[error("there is no app and no site in {}", path.display())]
    Nothing { path: PathBuf },
    /// There is no start page in it, but there are things that nobody should see.
    #[error("{} does not look like a site: it has no index.html, and {} in it", path.display(), words::listed(secrets))]
    Private { path: PathBuf, secrets: Vec<String> },
}

impl LookError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// What to do next, for a person.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "run doorstep as somebody who may read it",
            Self::Nothing { .. } | Self::Private { .. } => {
                "run `doorstep init` in the folder of the app or site; for a program that doorstep does not know,\n\
                 write a doorstep.toml with these lines:\n\n\
                 [site.\"shop.localhost\"]\n\
                 app = \"shop\"\n\n\
                 [app.shop]\n\
                 run = \"./program --port $PORT\""
            }
        }
    }
}

/// Looks at the folder `dir`.
///
/// # Errors
/// When the folder cannot be read, or holds nothing that should be served.
pub fn look(dir: &Path, options: Options) -> Result<Found, LookError> {
    let unreadable = |cause| LookError::Unreadable { path: dir.to_owned(), cause };
    let tree = Tree::read(dir).map_err(unreadable)?;
    let projects = Projects::of(&tree);
    let mut parts: Vec<Part> = Vec::new();
    for folder in &projects.0 {
        let program = python::look(&tree, folder, &projects)
            .or_else(|| node::look(&tree, folder, &projects))
            .or_else(|| compiled::look(&tree, folder, &projects))
            .or_else(|| other::look(&tree, folder));
        let mut here = procfile::look(&tree, folder, program);
        // Files of a folder inside an app are that app's own.
        if here.is_empty() && !parts.iter().any(|part| folder.starts_with(&part.folder)) {
            here.extend(files::look(&tree, folder));
        }
        parts.extend(here);
    }
    if parts.is_empty() {
        match files::listing(&tree) {
            Some(Ok(part)) => parts.push(part),
            Some(Err(secrets)) => return Err(LookError::Private { path: dir.to_owned(), secrets }),
            None => return Err(LookError::Nothing { path: dir.to_owned() }),
        }
    }
    if !parts.iter().any(|part| !matches!(part.serve, Serve::Worker(_))) {
        return Err(LookError::Nothing { path: dir.to_owned() });
    }
    let cut = tree.cut || parts.len() > limits::MAX_PARTS;
    parts.truncate(limits::MAX_PARTS);
    let base = dir.canonicalize().ok().and_then(|path| words::label(path.file_name()?.to_str()?));
    let layout = Layout::of(&parts, base.as_deref().unwrap_or("site"), options.name.as_ref());
    Ok(Found { parts, layout, options, cut })
}

impl Found {
    /// The text of a `doorstep.toml`, for the folder that was looked at.
    pub fn config(&self) -> String {
        render::config(self)
    }

    /// What was found, in one sentence.
    pub fn sentence(&self) -> String {
        story::sentence(self)
    }

    /// What was assumed and may be wrong, each a sentence.
    pub fn assumptions(&self) -> Vec<String> {
        story::assumptions(self)
    }

    /// What is still to be done before visitors come, each a sentence or two.
    pub fn remarks(&self) -> Vec<String> {
        story::remarks(self)
    }

    /// Whether there is a program to be run.
    pub fn has_apps(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part.serve, Serve::Files(_)))
    }

    /// Host names of the sites.
    pub fn sites(&self) -> Vec<String> {
        self.layout.sites.iter().map(|site| site.host.clone()).collect()
    }
}
