//! Media types by name. Contents are never looked at.

use http::HeaderValue;

/// What a file's name says about its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MimeType {
    /// As in `Content-Type`, with a charset for text.
    pub value: HeaderValue,
    /// Worth compressing.
    pub compressible: bool,
}

/// The type of a file of this name.
pub fn of(name: &str) -> MimeType {
    let essence = essence(name);
    let value = if has_charset(essence) {
        HeaderValue::try_from(format!("{essence}; charset=utf-8")).unwrap_or(HeaderValue::from_static(UNKNOWN))
    } else {
        HeaderValue::from_static(essence)
    };
    MimeType { value, compressible: is_compressible(essence) }
}

const UNKNOWN: &str = "application/octet-stream";

/// Type and subtype, without parameters.
pub fn essence(name: &str) -> &'static str {
    let Some((_, extension)) = name.rsplit_once('.') else {
        return if is_text_by_habit(name) { "text/plain" } else { UNKNOWN };
    };
    let extension = extension.to_ascii_lowercase();
    match extension.as_str() {
        "js" | "mjs" | "cjs" => "text/javascript",
        "map" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "m4a" => "audio/mp4",
        "ts" | "mts" | "m2ts" => "video/mp2t",
        "gz" | "tgz" => "application/gzip",
        "zst" => "application/zstd",
        "rs" | "go" | "py" | "rb" | "c" | "h" | "cc" | "cpp" | "hpp" | "java" | "kt" | "swift" | "php" | "pl"
        | "lua" | "sh" | "bash" | "zsh" | "fish" | "ps1" | "bat" | "sql" | "jsx" | "tsx" | "vue" | "svelte"
        | "scss" | "sass" | "less" | "toml" | "yaml" | "yml" | "ini" | "cfg" | "conf" | "properties" | "log"
        | "lock" | "diff" | "patch" | "rst" | "adoc" | "org" | "tex" | "bib" | "r" | "jl" | "hs" | "ex" | "exs"
        | "erl" | "clj" | "dart" | "zig" | "nim" | "cs" | "fs" | "scala" | "gradle" | "cmake" | "abc" | "srt"
        | "nfo" | "me" => "text/plain",
        extension => match mime_guess::from_ext(extension).first_raw() {
            // Source code and the like under names that no browser knows: they would be saved instead of shown.
            Some(guess) if guess.starts_with("text/x-") => "text/plain",
            Some(guess) => guess,
            None => UNKNOWN,
        },
    }
}

fn is_text_by_habit(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "readme",
        "license",
        "licence",
        "copying",
        "authors",
        "contributing",
        "changelog",
        "changes",
        "news",
        "todo",
        "makefile",
        "dockerfile",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// XML says its own encoding in its first line; SVG is written by programs that write UTF-8.
fn has_charset(essence: &str) -> bool {
    match essence {
        "text/xml" => false,
        "image/svg+xml" | "application/json" | "application/manifest+json" | "application/javascript" => true,
        "application/xhtml+xml" | "application/x-ndjson" | "application/ld+json" => true,
        essence => essence.starts_with("text/"),
    }
}

fn is_compressible(essence: &str) -> bool {
    match essence {
        "application/json"
        | "application/javascript"
        | "application/xml"
        | "application/wasm"
        | "application/rtf"
        | "application/x-ndjson"
        | "application/vnd.ms-fontobject"
        | "font/ttf"
        | "font/otf"
        | "image/bmp"
        | "image/x-icon"
        | "application/x-font-ttf"
        | "application/x-tar" => true,
        essence => essence.starts_with("text/") || essence.ends_with("+json") || essence.ends_with("+xml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (name, value) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.JS", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.json", "application/json; charset=utf-8"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("main.rs", "text/plain; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("feed.xml", "text/xml"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.avif", "image/avif"),
            ("a.woff2", "font/woff2"),
            ("a.mp4", "video/mp4"),
            ("a.pdf", "application/pdf"),
            ("a.tar.gz", "application/gzip"),
            ("LICENSE", "text/plain; charset=utf-8"),
            ("unknown", "application/octet-stream"),
            ("a.what-is-this", "application/octet-stream"),
            ("", "application/octet-stream"),
            ("dot.", "application/octet-stream"),
        ] {
            assert_eq!(of(name).value, value, "{name}");
        }
    }

    #[test]
    fn what_is_compressed() {
        for name in ["a.html", "a.js", "a.json", "a.svg", "a.wasm", "a.ttf", "feed.atom"] {
            assert!(of(name).compressible, "{name}");
        }
        for name in ["a.png", "a.jpg", "a.zip", "a.gz", "a.mp4", "a.woff2", "a.pdf", "unknown"] {
            assert!(!of(name).compressible, "{name}");
        }
    }
}
