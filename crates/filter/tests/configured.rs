//! What the configuration lets through can be compiled: a good file never fails in the engine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use doorstep_config::{Privileges, Sources, parse};
use doorstep_filter::wrap;
use doorstep_http::actions::{Redirect, Respond};
use doorstep_http::{BoxFuture, Request, Response, RouteTable, Service, SiteRoutes};
use doorstep_model::{Action, Spec};

struct Nothing;

impl Service for Nothing {
    fn call<'a>(&'a self, _: Request) -> BoxFuture<'a, Response> {
        Box::pin(std::future::ready(Response::new(http::StatusCode::OK)))
    }
}

#[test]
fn good_files_compile() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/fixtures");
    let copy = tempfile::tempdir().unwrap();
    copy_files(&fixtures.join("good"), copy.path());
    copy_files(&fixtures.join("files"), copy.path());
    let mut compiled = 0;
    for entry in fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let sources = Sources::gather_with(&path, |_| Some("value".to_owned()));
        // Some need more than is given here; that they are good is tested beside them.
        if let Some(spec) = parse(&sources, Privileges::default()).spec {
            compile(&spec).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            compiled += 1;
        }
    }
    assert!(compiled > 3, "{compiled}");
}

fn compile(spec: &Spec) -> Result<(), Box<dyn std::error::Error>> {
    let mut table = RouteTable::default();
    for site in &spec.sites {
        let mut services: Vec<Arc<dyn Service>> = Vec::new();
        for route in &site.routes {
            let service: Arc<dyn Service> = match &route.action {
                Action::Redirect(redirect) => Arc::new(Redirect::new(redirect)?),
                Action::Respond(respond) => Arc::new(Respond::new(respond)?),
                _ => Arc::new(Nothing),
            };
            services.push(wrap(&route.filters, wrap(&site.filters, service)?)?);
        }
        table.add_site(SiteRoutes::of(site, services))?;
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
