//! What a file looks like in a listing, by the end of its name.

/// Which picture stands before a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Folder,
    File,
    Image,
    Video,
    Audio,
    Pdf,
    Text,
    Document,
    Sheet,
    Slides,
    Code,
    Archive,
    Font,
    Book,
    Program,
    Disk,
}

impl Icon {
    /// The icon of a file that is no folder.
    pub fn of(name: &str) -> Self {
        let Some((stem, extension)) = name.rsplit_once('.') else { return Self::of_bare(name) };
        if stem.is_empty() || extension.len() > 10 {
            return Self::of_bare(name);
        }
        match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "png" | "gif" | "webp" | "avif" | "svg" | "bmp" | "ico" | "tif" | "tiff" | "heic"
            | "heif" | "jxl" | "raw" | "cr2" | "nef" | "arw" | "dng" | "psd" | "xcf" => Self::Image,
            "mp4" | "m4v" | "mkv" | "webm" | "mov" | "avi" | "wmv" | "mpg" | "mpeg" | "ogv" | "3gp" | "flv" => {
                Self::Video
            }
            "mp3" | "flac" | "ogg" | "oga" | "opus" | "wav" | "m4a" | "aac" | "wma" | "aiff" | "mid" | "midi" => {
                Self::Audio
            }
            "pdf" | "ps" => Self::Pdf,
            "txt" | "md" | "markdown" | "rst" | "log" | "nfo" | "tex" | "srt" | "vtt" | "adoc" => Self::Text,
            "doc" | "docx" | "odt" | "rtf" | "pages" | "odg" => Self::Document,
            "xls" | "xlsx" | "ods" | "csv" | "tsv" | "numbers" | "parquet" => Self::Sheet,
            "ppt" | "pptx" | "odp" | "key" => Self::Slides,
            "rs" | "py" | "js" | "mjs" | "ts" | "tsx" | "jsx" | "c" | "h" | "cc" | "cpp" | "hpp" | "go" | "java"
            | "kt" | "swift" | "rb" | "php" | "cs" | "sh" | "bash" | "zsh" | "ps1" | "bat" | "lua" | "pl" | "r"
            | "jl" | "hs" | "ml" | "ex" | "exs" | "erl" | "clj" | "scala" | "dart" | "zig" | "nim" | "sql" | "html"
            | "htm" | "xhtml" | "css" | "scss" | "vue" | "svelte" | "json" | "jsonl" | "xml" | "yaml" | "yml"
            | "toml" | "ini" | "cfg" | "conf" | "lock" | "ipynb" | "wasm" | "diff" | "patch" => Self::Code,
            "zip" | "tar" | "gz" | "tgz" | "bz2" | "xz" | "zst" | "br" | "7z" | "rar" | "lz4" | "lzma" | "cab"
            | "jar" | "whl" | "crate" => Self::Archive,
            "ttf" | "otf" | "woff" | "woff2" => Self::Font,
            "epub" | "mobi" | "azw3" | "djvu" | "cbz" | "cbr" => Self::Book,
            "exe" | "msi" | "apk" | "ipa" | "app" | "appimage" | "deb" | "rpm" | "flatpak" | "snap" | "so" | "dll"
            | "dylib" | "bin" | "elf" => Self::Program,
            "iso" | "img" | "dmg" | "qcow2" | "vdi" | "vmdk" => Self::Disk,
            _ => Self::File,
        }
    }

    fn of_bare(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "readme" | "license" | "licence" | "copying" | "authors" | "changelog" | "notice" | "todo" => Self::Text,
            "makefile" | "dockerfile" | "procfile" | "justfile" | "gemfile" | "rakefile" => Self::Code,
            _ => Self::File,
        }
    }

    /// Its class in `listing.css`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Folder => "d",
            Self::File => "f",
            Self::Image => "i",
            Self::Video => "v",
            Self::Audio => "a",
            Self::Pdf => "p",
            Self::Text => "t",
            Self::Document => "w",
            Self::Sheet => "s",
            Self::Slides => "l",
            Self::Code => "c",
            Self::Archive => "z",
            Self::Font => "n",
            Self::Book => "b",
            Self::Program => "x",
            Self::Disk => "k",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icons_go_by_the_end_of_the_name() {
        for (name, icon) in [
            ("photo.JPG", Icon::Image),
            ("backup.tar.gz", Icon::Archive),
            ("Makefile", Icon::Code),
            ("README", Icon::Text),
            (".bashrc", Icon::File),
            ("Version 2.0 of the thing", Icon::File),
            ("data.csv", Icon::Sheet),
            ("noextension", Icon::File),
            ("ends with dot.", Icon::File),
        ] {
            assert_eq!(Icon::of(name), icon, "{name}");
        }
    }
}
