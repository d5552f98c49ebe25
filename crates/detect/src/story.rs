//! What is said about it.

use crate::Found;
use crate::found::Part;
use crate::words::{code, listed};

/// "a Flask app (`app.py`) and a React app built by Vite (`package.json`, in `frontend`)".
pub fn sentence(found: &Found) -> String {
    let parts: Vec<String> = found.parts.iter().map(named).collect();
    listed(&parts)
}

fn named(part: &Part) -> String {
    match part.folder.as_os_str().is_empty() {
        true => part.what.clone(),
        false => format!("{} in {}", part.what, code(&part.folder)),
    }
}

/// What may be wrong.
pub fn assumptions(found: &Found) -> Vec<String> {
    let parts = found.parts.iter().flat_map(|part| part.assumed.iter().cloned());
    found.layout.assumed.iter().cloned().chain(parts).collect()
}

/// What is to be done.
pub fn remarks(found: &Found) -> Vec<String> {
    let mut remarks: Vec<String> = found.parts.iter().flat_map(|part| part.todo.iter().cloned()).collect();
    if found.cut {
        remarks.push("The folder holds more than was looked at: something may be missing in the file.".to_owned());
    }
    remarks
}
