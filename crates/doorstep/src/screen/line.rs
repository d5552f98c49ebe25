//! A line of styled text.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::text;

/// Part of a [`Line`] in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub style: Style,
}

/// One row of the screen. Holds no control characters: whatever came from outside went through [`text::visible`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<Span>);

pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const LINK: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan))).bold();
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
pub const MOVED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
pub const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
pub const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// Dark modules on light ones, whatever the terminal's colours are.
pub const QR: Style = Style::new()
    .fg_color(Some(anstyle::Color::Ansi(AnsiColor::Black)))
    .bg_color(Some(anstyle::Color::Ansi(AnsiColor::BrightWhite)));

impl Line {
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self::default().and(text, style)
    }

    #[must_use]
    pub fn and(mut self, text: impl Into<String>, style: Style) -> Self {
        self.0.push(Span { text: text.into(), style });
        self
    }

    /// Spaces up to column `columns`.
    #[must_use]
    pub fn to(self, columns: usize) -> Self {
        let missing = columns.saturating_sub(self.width());
        if missing == 0 { self } else { self.and(" ".repeat(missing), PLAIN) }
    }

    pub fn width(&self) -> usize {
        self.0.iter().map(|span| text::width(&span.text)).sum()
    }

    /// The line in at most `columns`.
    #[must_use]
    pub fn cut(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns;
        let mut spans = Vec::new();
        for mut span in self.0 {
            let wide = text::width(&span.text);
            if wide > left {
                span.text = text::fit(&span.text, left).into_owned();
                spans.push(span);
                break;
            }
            left -= wide;
            spans.push(span);
        }
        Self(spans)
    }

    /// The bytes for a terminal, with colours or without, ending in the plain style.
    pub fn paint(&self, colours: bool) -> String {
        let mut out = String::new();
        for Span { text, style } in &self.0 {
            if colours && !style.is_plain() {
                let _ = write!(out, "{style}{text}{style:#}");
            } else {
                out.push_str(text);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_cut_at_a_column_and_painted_span_by_span() {
        let line = Line::new("ab", PLAIN).and("日本語", BAD).and("!", PLAIN);
        assert_eq!(line.width(), 9);
        assert_eq!(line.clone().cut(6).paint(false), "ab日…");
        assert_eq!(line.clone().cut(7).paint(false), "ab日本…");
        assert_eq!(line.paint(true), "ab\x1b[31m日本語\x1b[0m!");
        assert_eq!(Line::new("a", PLAIN).to(3).paint(false), "a  ");
    }
}
