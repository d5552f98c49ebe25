//! Which part is reached by which name and path.

use std::collections::BTreeSet;

use doorstep_model::Hostname;

use crate::found::{Part, Serve};
use crate::words::label;

/// The sites of the file, and what its apps are called.
#[derive(Debug)]
pub struct Layout {
    pub sites: Vec<Site>,
    /// By part; files have one too, which nobody uses.
    pub names: Vec<String>,
    /// Words about the division, if there was anything to divide.
    pub assumed: Vec<String>,
}

#[derive(Debug)]
pub struct Site {
    pub host: String,
    /// What answers all paths that no route takes.
    pub part: usize,
    pub routes: Vec<Route>,
}

/// A part behind a path of a site.
#[derive(Debug)]
pub struct Route {
    /// Begins with `/`, has no slash at its end.
    pub path: String,
    pub part: usize,
    /// The part does not know that path.
    pub strip: bool,
}

impl Layout {
    pub fn of(parts: &[Part], base: &str, name: Option<&Hostname>) -> Self {
        let names = names(parts, base);
        let shown: Vec<usize> = (0..parts.len()).filter(|i| !matches!(parts[*i].serve, Serve::Worker(_))).collect();
        let host = name.map_or_else(|| format!("{base}.localhost"), Hostname::to_string);
        let fronts: Vec<usize> = shown.iter().copied().filter(|i| is_front(&parts[*i])).collect();
        match (&shown[..], &fronts[..]) {
            ([only], _) => Self { sites: vec![Site { host, part: *only, routes: vec![] }], names, assumed: vec![] },
            (_, [front]) => {
                let rest: Vec<usize> = shown.iter().copied().filter(|i| i != front).collect();
                Self::front_and_rest(parts, names, host, *front, &rest)
            }
            _ => {
                let domain = name.map_or_else(|| "localhost".to_owned(), Hostname::to_string);
                let sites = shown.iter().map(|i| Site {
                    host: format!("{}.{domain}", label(&names[*i]).unwrap_or_else(|| format!("site-{i}"))),
                    part: *i,
                    routes: vec![],
                });
                let assumed = vec!["Each app and site is to have a name of its own.".to_owned()];
                Self { sites: sites.collect(), names, assumed }
            }
        }
    }

    /// Pages for people at `/`, everything else beneath a path.
    fn front_and_rest(parts: &[Part], names: Vec<String>, host: String, front: usize, rest: &[usize]) -> Self {
        let mut assumed = Vec::new();
        let mut routes = Vec::new();
        for part in rest {
            let path = match rest {
                [_] => "/api".to_owned(),
                _ => format!("/{}", label(&names[*part]).unwrap_or_else(|| format!("app-{part}"))),
            };
            let knows = path == "/api" && matches!(&parts[*part].serve, Serve::App(program) if program.knows_api);
            assumed.push(match knows {
                true => format!("Requests for {path} go to {}, with their path as it is.", names[*part]),
                false => format!("Requests for {path} go to {}, which sees them without {path}.", names[*part]),
            });
            routes.push(Route { path, part: *part, strip: !knows });
        }
        Self { sites: vec![Site { host, part: front, routes }], names, assumed }
    }
}

/// What people open in their browsers, where there is something else beside it.
fn is_front(part: &Part) -> bool {
    match &part.serve {
        Serve::Files(_) => true,
        Serve::App(program) => program.is_frontend,
        Serve::Worker(_) => false,
    }
}

/// Each part's own name: given, or its folder's, or that of the whole; a number behind it if that is taken.
fn names(parts: &[Part], base: &str) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |part: &Part| {
        let own = match &part.serve {
            Serve::App(program) | Serve::Worker(program) => program.name.clone(),
            Serve::Files(_) => None,
        };
        let folder = part.folder.file_name().and_then(|name| label(name.to_str()?));
        own.or(folder.filter(|name| name != "src")).unwrap_or_else(|| base.to_owned())
    };
    parts
        .iter()
        .map(|part| {
            let wanted = name(part);
            let numbered = (2..).map(|n| format!("{wanted}-{n}"));
            let free = std::iter::once(wanted.clone()).chain(numbered).find(|name| !taken.contains(name));
            let free = free.unwrap_or(wanted);
            taken.insert(free.clone());
            free
        })
        .collect()
}
