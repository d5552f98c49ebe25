use time::UtcOffset;

use super::*;
use crate::screen::samples;
use crate::screen::story::{Address, Scope, Sharing};

/// Just enough of a terminal: rows, a cursor, erasing, scrolling into a scrollback.
struct Glass {
    rows: Vec<String>,
    scrollback: Vec<String>,
    row: usize,
    column: usize,
}

impl Glass {
    fn new(rows: usize) -> Self {
        Self { rows: vec![String::new(); rows], scrollback: Vec::new(), row: 0, column: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let sequence: String = chars.by_ref().take_while_inclusive(|c| !c.is_ascii_alphabetic());
                    self.command(&sequence);
                }
                '\r' => self.column = 0,
                '\n' if self.row + 1 == self.rows.len() => {
                    self.scrollback.push(self.rows.remove(0));
                    self.rows.push(String::new());
                    self.column = 0;
                }
                '\n' => {
                    self.row += 1;
                    self.column = 0;
                }
                c => {
                    let row = &mut self.rows[self.row];
                    let mut cells: Vec<char> = row.chars().collect();
                    cells.resize(cells.len().max(self.column + 1), ' ');
                    cells[self.column] = c;
                    *row = cells.into_iter().collect();
                    self.column += 1;
                }
            }
        }
    }

    fn command(&mut self, sequence: &str) {
        let (numbers, verb) = sequence.split_at(sequence.len() - 1);
        match verb {
            "H" => {
                let mut numbers = numbers.split(';').map(|n| n.parse::<usize>().unwrap_or(1));
                self.row = numbers.next().unwrap_or(1) - 1;
                self.column = numbers.next().unwrap_or(1) - 1;
            }
            "K" => self.rows[self.row].clear(),
            "J" if numbers == "2" => self.rows.iter_mut().for_each(String::clear),
            "J" => {
                let kept: String = self.rows[self.row].chars().take(self.column).collect();
                self.rows[self.row] = kept;
                self.rows[self.row + 1..].iter_mut().for_each(String::clear);
            }
            "h" | "l" | "m" => {}
            other => panic!("unexpected command {other}"),
        }
    }
}

trait TakeWhileInclusive: Iterator<Item = char> {
    fn take_while_inclusive(&mut self, more: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        for c in self {
            taken.push(c);
            if !more(c) {
                break;
            }
        }
        taken
    }
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {}

fn terminal(columns: usize, rows: usize) -> Terminal<Vec<u8>> {
    let mut board = Board::new(false, false, UtcOffset::UTC, false);
    board.share(Sharing { title: "./photos".into(), ..Sharing::default() });
    board.add_address(Address::new("http://localhost:8080".into(), Scope::ThisComputer));
    Terminal::new(board, Vec::new(), columns, rows)
}

fn show(terminal: &mut Terminal<Vec<u8>>, glass: &mut Glass) {
    terminal.draw(Instant::now()).unwrap();
    glass.feed(&std::mem::take(&mut terminal.out));
}

fn request(number: usize) -> Entry {
    Entry::Request(Box::new(samples::exchange(&format!("/{number}"), 200)))
}

fn paths(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| line.split("GET ").nth(1))
        .map(|rest| rest.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_header_stays_and_the_log_scrolls_back_in_order() {
    let mut glass = Glass::new(12);
    glass.feed(b"$ ls\nphotos\n$ doorstep share photos\n");
    let mut terminal = terminal(80, 12);
    show(&mut terminal, &mut glass);
    assert_eq!(glass.scrollback, ["$ ls", "photos", "$ doorstep share photos"]);
    for number in 0..40 {
        terminal.log(request(number));
        if number % 7 == 0 {
            show(&mut terminal, &mut glass);
        }
    }
    show(&mut terminal, &mut glass);
    assert_eq!(glass.rows[0], "  Sharing ./photos");
    assert!(glass.rows[1].contains("http://localhost:8080"));
    let (gone, here) = (paths(&glass.scrollback), paths(&glass.rows));
    let all: Vec<String> = gone.into_iter().chain(here).collect();
    assert_eq!(all, (0..40).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert_eq!(glass.scrollback.iter().filter(|line| line.contains("Sharing")).count(), 0);
}

#[test]
fn a_header_that_grows_pushes_the_log_and_loses_nothing() {
    let mut glass = Glass::new(10);
    let mut terminal = terminal(80, 10);
    (0..20).for_each(|number| terminal.log(request(number)));
    show(&mut terminal, &mut glass);
    for n in 0..3 {
        let url = format!("http://10.0.0.{n}:8080");
        terminal.board.add_address(Address::new(url, Scope::Network));
        show(&mut terminal, &mut glass);
    }
    let all: Vec<String> = paths(&glass.scrollback).into_iter().chain(paths(&glass.rows)).collect();
    assert_eq!(all, (0..20).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert!(glass.rows[4].contains("http://10.0.0.2:8080"));
}

#[test]
fn a_resize_lays_everything_out_again() {
    let mut glass = Glass::new(12);
    let mut terminal = terminal(80, 12);
    (0..5).for_each(|number| terminal.log(request(number)));
    show(&mut terminal, &mut glass);
    for (columns, rows) in [(40, 8), (20, 5), (3, 2), (120, 40)] {
        terminal.resize(columns, rows);
        terminal.out.clear();
        glass = Glass::new(rows);
        show(&mut terminal, &mut glass);
        assert!(glass.rows.iter().all(|row| row.chars().count() <= columns), "{:?}", glass.rows);
        assert_eq!(glass.rows.len(), rows);
    }
    assert_eq!(paths(&glass.rows), ["/0", "/1", "/2", "/3", "/4"]);
}

#[test]
fn leaving_puts_the_cursor_beneath() {
    for requests in [2, 30] {
        let mut glass = Glass::new(12);
        let mut terminal = terminal(80, 12);
        (0..requests).for_each(|number| terminal.log(request(number)));
        show(&mut terminal, &mut glass);
        terminal.leave().unwrap();
        terminal.print(&Line::new("bye", super::super::line::PLAIN)).unwrap();
        glass.feed(&std::mem::take(&mut terminal.out));
        let last = glass.rows.iter().rposition(|row| !row.is_empty()).unwrap();
        assert_eq!(glass.rows[last], "bye");
        assert!(glass.rows[last - 1].contains(&format!("/{}", requests - 1)));
    }
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut terminal = terminal(80, 12);
    terminal.draw(Instant::now()).unwrap();
    terminal.out.clear();
    terminal.draw(Instant::now()).unwrap();
    assert!(terminal.out.is_empty());
}
