//! Text from strangers, made safe and made to fit.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// Columns a terminal gives to `text`. Counts each character alone, which is never less than what is drawn.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Text in which nothing can command the terminal or reorder what is read: control characters, line separators and
/// bidirectional overrides are written out.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) => safe.push(c),
            c if (c as u32) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", c as u32);
            }
            c => {
                let _ = write!(safe, "\\u{{{:x}}}", c as u32);
            }
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A request's target as a person reads it: escaped letters of other alphabets and spaces shown as themselves.
pub fn readable_target(target: &str) -> Cow<'_, str> {
    if !target.contains('%') {
        return visible(target);
    }
    let bytes = target.as_bytes();
    let mut readable = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escaped_byte(&bytes[at..]).filter(|byte| *byte >= 0x80 || *byte == b' ') {
            Some(byte) => {
                readable.push(byte);
                at += 3;
            }
            None => {
                readable.push(bytes[at]);
                at += 1;
            }
        }
    }
    match String::from_utf8(readable) {
        Ok(text) => Cow::Owned(visible(&text).into_owned()),
        Err(_) => visible(target),
    }
}

fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => {
            let digit = |b: u8| (b as char).to_digit(16);
            Some((digit(*high)? * 16 + digit(*low)?) as u8)
        }
        _ => None,
    }
}

/// `text` in at most `columns`, its end replaced by `…` if need be.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let mut cut = String::from(front(text, columns - 1));
    cut.push('…');
    Cow::Owned(cut)
}

/// `text` in at most `columns`, its middle replaced by `…` if need be: of a path, both ends tell most.
pub fn fit_middle(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns < 8 {
        return fit(text, columns);
    }
    let tail = (columns - 1) / 2;
    let mut cut = String::from(front(text, columns - 1 - tail));
    cut.push('…');
    cut.push_str(back(text, tail));
    Cow::Owned(cut)
}

fn front(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    end.map_or(text, |(at, _)| &text[..at])
}

fn back(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let start = text.char_indices().rev().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    start.map_or(text, |(at, c)| &text[at + c.len_utf8()..])
}

/// `text` cut into lines of at most `columns`, between words where possible.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word = word;
            if !line.is_empty() && width(&line) + 1 + width(word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            while width(word) > columns {
                let head = front(word, columns);
                lines.push(head.to_owned());
                word = &word[head.len()..];
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(visible("/a\x1b[2J\r\n\u{9b}31m"), "/a\\x1b[2J\\x0d\\x0a\\x9b31m");
        assert_eq!(visible("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert!(matches!(visible("/plain ü 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn other_alphabets_are_readable_and_the_rest_stays() {
        assert_eq!(readable_target("/%E6%97%A5%E6%9C%AC/a%20b?x=%2F%1b%25"), "/日本/a b?x=%2F%1b%25");
        assert_eq!(readable_target("/%ff%fe"), "/%ff%fe");
        assert_eq!(readable_target("/%C2%9B31m"), "/\\x9b31m");
        assert_eq!(readable_target("/%"), "/%");
        assert_eq!(readable_target("/%2"), "/%2");
    }

    #[test]
    fn cuts_by_columns_not_by_bytes() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 5), "abcd…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit_middle("/photos/2026/italy/venice.jpg", 20), "/photos/20…enice.jpg");
        assert_eq!(width(&fit_middle("日本語日本語日本語", 10)), 9);
        for columns in 0..40 {
            for text in ["/a/very/long/path/indeed/it/is.html", "/日本語/日本語/日本語/日本語", "é̀é̀é̀é̀é̀é̀é̀é̀é̀é̀é̀é̀é̀é̀"]
            {
                assert!(width(&fit_middle(text, columns)) <= columns, "{text} in {columns}");
            }
        }
    }

    #[test]
    fn wraps_between_words_and_inside_long_ones() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("abcdefghijkl mn", 8), ["abcdefgh", "ijkl mn"]);
        assert_eq!(wrap("a\nb", 20), ["a", "b"]);
    }
}
