//! The configuration file: whatever its text, parsing ends, a spec comes out exactly if there is no error, and everything that
//! is said about it can be shown.

use std::path::Path;

use doorstep_config::{Privileges, Sources, parse};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sources = Sources::from_text(Path::new("/etc/doorstep/doorstep.toml"), text);
    let outcome = parse(&sources, Privileges::default());
    assert_eq!(outcome.spec.is_none(), outcome.errors() > 0);
    let _ = outcome.render(false);
    for diagnostic in &outcome.diagnostics {
        let _ = diagnostic.to_json();
    }
}
