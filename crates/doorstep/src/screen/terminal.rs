//! The pinned screen of a terminal.
//!
//! The header stands in the first rows and never moves. Log lines that leave the screen go to the terminal's own
//! scrollback, in order: they are written over the header, scrolled out, and the header is drawn again, all within
//! one synchronised update. So everything that was ever logged can be scrolled back to, during and after.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Instant;

use super::board::{Board, Entry, History};
use super::line::Line;

const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?2026l";

/// Draws a [`Board`] on `out`, which is a terminal of `columns` × `rows`.
pub struct Terminal<W: Write> {
    pub board: Board,
    out: W,
    columns: usize,
    rows: usize,
    history: History,
    /// Log lines that are not in the scrollback yet.
    log: VecDeque<Line>,
    /// What stands on the screen, row by row; empty where that is unknown.
    drawn: Vec<String>,
    live: bool,
}

impl<W: Write> Terminal<W> {
    pub fn new(board: Board, out: W, columns: usize, rows: usize) -> Self {
        let (columns, rows) = (columns.max(1), rows.max(2));
        Self {
            board,
            out,
            columns,
            rows,
            history: History::default(),
            log: VecDeque::new(),
            drawn: Vec::new(),
            live: false,
        }
    }

    /// Adds to the log. Shown with the next [`Self::draw`].
    pub fn log(&mut self, entry: Entry) {
        if let Entry::Request(exchange) = &entry {
            self.board.note_client(exchange);
        }
        let lines = self.board.entry(self.history.push(entry), self.columns);
        self.log.extend(lines);
    }

    /// Brings the screen up to date.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn draw(&mut self, now: Instant) -> io::Result<()> {
        let mut bytes = String::from(BEGIN);
        if !self.live {
            self.take_over(&mut bytes);
        }
        let header = self.board.header(self.columns, self.rows);
        let mut footer = self.board.footer(self.columns, now);
        footer.truncate(self.rows.saturating_sub(header.len() + 1));
        let room = self.rows.saturating_sub(header.len() + footer.len()).max(1);
        self.scroll_out(self.log.len().saturating_sub(room), &mut bytes);

        let empty = std::iter::repeat_n(Line::default(), room - self.log.len());
        let frame = header.into_iter().chain(self.log.iter().cloned()).chain(empty).chain(footer).take(self.rows);
        let frame: Vec<String> = frame.map(|line| line.paint(self.board.colours)).collect();
        for (row, line) in frame.iter().enumerate() {
            if self.drawn.get(row) != Some(line) {
                let _ = write!(bytes, "\x1b[{};1H\x1b[2K{line}", row + 1);
            }
        }
        self.drawn = frame;
        if bytes.len() == BEGIN.len() {
            return Ok(());
        }
        bytes.push_str(END);
        self.out.write_all(bytes.as_bytes())?;
        self.out.flush()
    }

    /// The terminal has a new size: everything is laid out again.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        (self.columns, self.rows) = (columns.max(1), rows.max(2));
        let mut lines: Vec<Line> = Vec::new();
        for entry in self.history.iter().rev() {
            if lines.len() >= self.rows {
                break;
            }
            lines.extend(self.board.entry(entry, self.columns).into_iter().rev());
        }
        // What does not fit now is in the scrollback already, at its old width.
        let room = self.rows.saturating_sub(self.board.header(self.columns, self.rows).len());
        lines.truncate(room);
        self.log = lines.into_iter().rev().collect();
        self.drawn.clear();
        if self.live {
            let _ = self.out.write_all(b"\x1b[H\x1b[2J");
        }
    }

    /// Gives the terminal back, the cursor below what was drawn. [`Self::draw`] takes it again.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn leave(&mut self) -> io::Result<()> {
        if !self.live {
            return Ok(());
        }
        self.live = false;
        let header = self.board.header(self.columns, self.rows).len();
        let end = (header + self.log.len()).min(self.rows);
        self.drawn.clear();
        // Down to the last line, one further, and away with what is beneath.
        write!(self.out, "{BEGIN}\x1b[{end};1H\r\n\x1b[J{END}\x1b[?25h")?;
        self.out.flush()
    }

    /// A line beneath what was drawn, after [`Self::leave`].
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn print(&mut self, line: &Line) -> io::Result<()> {
        writeln!(self.out, "{}", line.paint(self.board.colours))?;
        self.out.flush()
    }

    /// Scrolls what stands above the cursor into the scrollback, not a row more.
    fn take_over(&mut self, bytes: &mut String) {
        self.live = true;
        bytes.push_str(&"\n".repeat(self.rows - 1));
        bytes.push_str("\x1b[H\x1b[2J");
        self.drawn.clear();
    }

    fn scroll_out(&mut self, mut count: usize, bytes: &mut String) {
        while count > 0 {
            let part = count.min(self.rows - 1);
            for (row, line) in self.log.drain(..part).enumerate() {
                let _ = write!(bytes, "\x1b[{};1H\x1b[2K{}", row + 1, line.paint(self.board.colours));
            }
            let _ = write!(bytes, "\x1b[{};1H{}", self.rows, "\n".repeat(part));
            self.drawn.clear();
            count -= part;
        }
    }
}

#[cfg(test)]
mod tests;
