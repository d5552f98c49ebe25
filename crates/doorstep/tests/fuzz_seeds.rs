//! Runs every fuzz target's check on its seeds, so that what fuzzing found stays mended (see fuzz/README.md).

#[path = "../../../fuzz/src/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder entry").path();
        let bytes = fs::read(&path).expect("a seed");
        println!("{}", path.display());
        check(&bytes);
        // Every seed cut short, and with each byte changed, is a test too.
        for at in 0..bytes.len() {
            check(&bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] = changed[at].wrapping_add(1);
            check(&changed);
        }
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", folder.display());
}

#[test]
fn request_head() {
    replay("request_head", checks::request_head::check);
}

#[test]
fn chunked() {
    replay("chunked", checks::chunked::check);
}

#[test]
fn response_head() {
    replay("response_head", checks::response_head::check);
}

#[test]
fn path() {
    replay("path", checks::path::check);
}

#[test]
fn gateway() {
    replay("gateway", checks::gateway::check);
}

#[test]
fn proxy_header() {
    replay("proxy_header", checks::proxy_header::check);
}

#[test]
fn guard() {
    replay("guard", checks::guard::check);
}

#[test]
fn config() {
    replay("config", checks::config::check);
}

#[test]
fn connection() {
    replay("connection", checks::connection::check);
}

#[test]
fn files_read() {
    replay("files_read", checks::files::read);
}

#[test]
fn files_upload() {
    replay("files_upload", checks::files::upload);
}

#[test]
fn pagekite_back_end() {
    replay("pagekite_back_end", checks::pagekite::back_end);
}

#[test]
fn pagekite_front_end() {
    replay("pagekite_front_end", checks::pagekite::front_end);
}

#[test]
fn tunnel() {
    replay("tunnel", checks::tunnel::check);
}
