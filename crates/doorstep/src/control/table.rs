//! Tables on a terminal, as wide as it and not wider.

use anstyle::Style;

use crate::screen::line::{BOLD, PLAIN};
use crate::screen::text::{fit, visible, width};

/// A column: its title, where its text stands, and how soon it goes when there is not enough room (0: never).
pub struct Column {
    pub title: &'static str,
    pub right: bool,
    pub goes: u8,
}

/// A column that stays, with text that begins at its left.
pub const fn left(title: &'static str) -> Column {
    Column { title, right: false, goes: 0 }
}

/// A column of numbers.
pub const fn right(title: &'static str, goes: u8) -> Column {
    Column { title, right: true, goes }
}

/// Text in a style. The text comes from strangers, and is made safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn new(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: visible(text.as_ref()).into_owned(), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, PLAIN)
    }
}

/// Between two columns.
const GAP: usize = 2;

/// The narrowest that a column of words becomes.
const NARROWEST: usize = 12;

/// The table with its titles, each line at most `columns` wide as long as the columns that stay leave it a choice.
pub fn table(head: &[Column], rows: &[Vec<Cell>], columns: usize) -> Vec<Vec<Cell>> {
    let needs: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(at, column)| rows.iter().map(|row| width(&row[at].text)).chain([width(column.title)]).max().unwrap_or(0))
        .collect();
    let mut shown: Vec<usize> = (0..head.len()).filter(|at| used(head, rows, *at)).collect();
    // What stays may become narrow, words before numbers.
    let narrow = |at: usize| if stays(&head[at]) { needs[at].min(NARROWEST) } else { needs[at] };
    let total = |shown: &[usize], width: &dyn Fn(usize) -> usize| {
        shown.iter().map(|at| width(*at) + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(&shown, &narrow) > columns {
        let leaves = |at: &usize| head[*at].goes > 0;
        let Some(goes) = shown.iter().copied().filter(leaves).max_by_key(|at| head[*at].goes) else { break };
        shown.retain(|at| *at != goes);
    }
    let mut widths = needs.clone();
    while total(&shown, &|at| widths[at]) > columns {
        let shrinks = |at: &usize| stays(&head[*at]) && widths[*at] > NARROWEST;
        let Some(widest) = shown.iter().copied().filter(shrinks).max_by_key(|at| widths[*at]) else { break };
        widths[widest] -= 1;
    }
    let titles: Vec<Cell> = head.iter().map(|column| Cell::new(column.title, BOLD)).collect();
    std::iter::once(&titles)
        .chain(rows)
        .map(|row| {
            let mut line = Vec::new();
            for (place, at) in shown.iter().enumerate() {
                let text = fit(&row[*at].text, widths[*at]);
                let blank = widths[*at].saturating_sub(width(&text));
                let (before, after) = if head[*at].right { (blank, 0) } else { (0, blank) };
                let gap = if place == 0 { 0 } else { GAP };
                // Nothing follows the last one, so that nothing has to be filled.
                let after = if place + 1 == shown.len() { 0 } else { after };
                line.push(Cell { text: " ".repeat(gap + before), style: PLAIN });
                line.push(Cell { text: text.into_owned(), style: row[*at].style });
                line.push(Cell { text: " ".repeat(after), style: PLAIN });
            }
            line
        })
        .collect()
}

fn stays(column: &Column) -> bool {
    column.goes == 0 && !column.right
}

/// A column without anything in it says nothing.
fn used(head: &[Column], rows: &[Vec<Cell>], at: usize) -> bool {
    head[at].goes == 0 || rows.iter().any(|row| !row[at].text.is_empty())
}

/// The cells of a line one after the other.
pub fn paint(line: &[Cell], color: bool) -> String {
    let mut text = String::new();
    for cell in line {
        if color && !cell.text.trim().is_empty() && cell.style != PLAIN {
            text += &format!("{}{}{}", cell.style.render(), cell.text, cell.style.render_reset());
        } else {
            text += &cell.text;
        }
    }
    let end = text.trim_end().len();
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::line::BAD;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["a-long-name.example.com".into(), "12.5".into(), "7".into()],
            vec!["日本.example".into(), "0.1".into(), Cell::new("3", BAD)],
        ]
    }

    fn draw(columns: usize) -> Vec<String> {
        let head = [left("SITE"), right("rate", 1), right("errors", 2)];
        table(&head, &rows(), columns).iter().map(|line| paint(line, false)).collect()
    }

    #[test]
    fn columns_stand_under_each_other() {
        let expected = [
            "SITE                     rate  errors",
            "a-long-name.example.com  12.5       7",
            "日本.example              0.1       3",
        ];
        assert_eq!(draw(80), expected);
    }

    #[test]
    fn what_does_not_fit_is_shortened_then_left_out() {
        assert_eq!(
            draw(30),
            ["SITE              rate  errors", "a-long-name.exa…  12.5       7", "日本.example       0.1       3"]
        );
        assert_eq!(draw(20), ["SITE            rate", "a-long-name.e…  12.5", "日本.example     0.1"]);
        for columns in 0..100 {
            let widest = draw(columns).iter().map(|line| width(line)).max().unwrap();
            assert!(widest <= columns.max(NARROWEST), "{columns}: {widest}");
        }
    }

    #[test]
    fn colours_only_where_wanted_and_text_of_strangers_is_safe() {
        let line = [Cell::new("evil\x1b[2J", BAD)];
        assert_eq!(paint(&line, false), "evil\\x1b[2J");
        assert!(paint(&line, true).starts_with("\x1b[31mevil\\x1b"));
    }
}
