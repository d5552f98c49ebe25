//! Lines of `Name: value`, as in heads of HTTP, at the beginning of handshakes and frames.

use super::error::PageKiteError;
use super::limits::{MAX_FIELDS, MAX_TEXT};

/// Fields in their order. Names are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads the lines of `block`, which has no empty line in it.
    ///
    /// # Errors
    /// Where a line is no field, or there are too many.
    pub fn parse(block: &[u8]) -> Result<Self, PageKiteError> {
        let mut fields = Vec::new();
        for line in block.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let line = String::from_utf8_lossy(line);
            let (name, value) = line.split_once(':').ok_or(PageKiteError::Handshake("a line without a colon"))?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(PageKiteError::Handshake("the name of a field"));
            }
            if fields.len() == MAX_FIELDS {
                return Err(PageKiteError::Handshake("too many fields"));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self(fields))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A value to show to people: of bounded length, without control characters.
    pub fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(shown).filter(|text| !text.is_empty())
    }

    /// The words of a list with commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let words = self.all(name).flat_map(|value| value.split(',')).map(str::trim);
        words.filter(|word| !word.is_empty()).map(shown).take(MAX_FIELDS).collect()
    }

    /// Whether any of the names begins so.
    pub fn any_begins(&self, start: &str) -> bool {
        self.0.iter().any(|(name, _)| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)))
    }
}

/// What a peer said, fit for a screen.
pub fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// Where the empty line after a block of fields is, and where the rest begins.
pub fn split_block(bytes: &[u8]) -> Option<(usize, usize)> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| (at, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let fields = Fields::parse(b"X-A: 1\r\nx-a:2, 3\r\nNOOP: 1").unwrap();
        assert_eq!(fields.all("X-A").collect::<Vec<_>>(), ["1", "2, 3"]);
        assert_eq!(fields.list("x-a"), ["1", "2", "3"]);
        assert_eq!((fields.first("noop"), fields.first("none")), (Some("1"), None));
        assert!(fields.any_begins("x-") && !fields.any_begins("X-B"));
        assert_eq!(Fields::parse(b"A: \x1b[31mred\x07").unwrap().text("a").unwrap(), "[31mred");
        for block in [&b"no colon"[..], b": x", b"a b: c", b"\xff: x"] {
            assert!(Fields::parse(block).is_err(), "{block:?}");
        }
        assert!(Fields::parse(&b"a: b\r\n".repeat(MAX_FIELDS + 1)).is_err());
    }
}
