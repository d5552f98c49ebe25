//! Rules for Rust files: sizes, an introduction at each crate's root, a reason at each `unsafe`.

use super::TextFile;

/// A file that needs more lines than this is two files.
const MAX_LINES: usize = 500;
/// Half of all files are shorter than this.
const MAX_MEDIAN: usize = 200;
/// How far above an `unsafe` its reason may begin.
const REASON_REACH: usize = 8;

/// Each breach in words.
pub fn check(files: &[TextFile]) -> Vec<String> {
    let rust: Vec<&TextFile> = files.iter().filter(|file| file.is_rust()).collect();
    let mut breaches = Vec::new();
    for file in &rust {
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            breaches.push(format!("{}: {lines} lines; split it before {MAX_LINES}", file.path));
        }
        if is_crate_root(&file.path) && !file.text.trim_start().starts_with("//!") {
            breaches.push(format!("{}: a crate begins with //! and what it is for", file.path));
        }
        breaches.extend(unsafe_without_reason(file));
    }
    let mut sizes: Vec<usize> = rust.iter().map(|file| file.text.lines().count()).collect();
    sizes.sort_unstable();
    if let Some(median) = sizes.get(sizes.len() / 2).filter(|&&median| median >= MAX_MEDIAN) {
        breaches.push(format!("the median of all Rust files is {median} lines; it stays under {MAX_MEDIAN}"));
    }
    breaches
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

fn unsafe_without_reason(file: &TextFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut breaches = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let opens = ["unsafe {", "unsafe impl", "unsafe fn", "unsafe extern"];
        if !opens.iter().any(|open| code.trim_start().contains(open)) || code.contains('"') {
            continue;
        }
        let above = &lines[number.saturating_sub(REASON_REACH)..=number];
        if !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
            breaches.push(format!("{}:{}: `unsafe` without a // SAFETY: reason", file.path, number + 1));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn long_files_and_a_high_median_are_breaches() {
        let long = file("a.rs", &"x\n".repeat(MAX_LINES + 1));
        let breaches = check(&[long]);
        assert!(breaches[0].contains("501 lines"), "{breaches:?}");
        assert!(breaches[1].contains("median"), "{breaches:?}");
        assert!(check(&[file("a.rs", &"x\n".repeat(MAX_MEDIAN - 1))]).is_empty());
    }

    #[test]
    fn a_crate_root_introduces_itself() {
        assert_eq!(check(&[file("crates/a/src/lib.rs", "mod b;\n")]).len(), 1);
        assert!(check(&[file("crates/a/src/lib.rs", "//! Why.\nmod b;\n"), file("b.rs", "fn b() {}\n")]).is_empty());
    }

    #[test]
    fn unsafe_needs_a_reason() {
        let bare = format!("fn f() {{\n    un{} {{ g() }}\n}}\n", "safe");
        assert_eq!(check(&[file("a.rs", &bare)]).len(), 1);
        assert!(check(&[file("a.rs", &bare.replace("fn f", "// SAFETY: g asks for nothing.\nfn f"))]).is_empty());
    }
}
