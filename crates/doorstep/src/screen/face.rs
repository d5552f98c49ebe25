//! The faces of the screen: pinned, plain lines, JSON, quiet.

use std::io::{self, IsTerminal, Stdout, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use doorstep_http::{Exchange, Transfer};
use doorstep_model::{Finding, Severity};
use serde_json::Value;

use super::board::{self, Board, Entry};
use super::line::{Line, PLAIN};
use super::story::{Address, App, Reason, Scope, Sharing, Summary, Tunnel, stopping_sentence};
use super::terminal::Terminal;
use super::{Format, Options, human, json, request, text, tty, tunnel};
use crate::exit::Failure;
use crate::lend::State;
use crate::limits;

/// One way to show what happens. A face that can no longer write goes on without a word: sharing matters more.
pub trait Face: Send {
    fn sharing(&mut self, sharing: Sharing);
    fn address(&mut self, address: Address);
    fn app(&mut self, _app: &App) {}
    fn tunnel(&mut self, _tunnel: Tunnel) {}
    /// An address no longer leads here.
    fn gone(&mut self, _url: &str) {}
    fn settled(&mut self) {}
    fn requests(&mut self, requests: Vec<Exchange>, unseen: u64);
    fn transfer(&mut self, _transfer: Arc<Transfer>) {}
    fn finding(&mut self, finding: Finding);
    fn stopping(&mut self, reason: Reason);
    fn end(&mut self, summary: &Summary);
    /// When to draw next although nothing new was heard.
    fn next_tick(&self) -> Option<Duration> {
        None
    }
    fn draw(&mut self, _now: Instant) {}
    fn resized(&mut self) {}
    fn suspend(&mut self) {}
    fn resume(&mut self) {}
}

pub fn choose(options: Options) -> Box<dyn Face> {
    match options.format {
        Format::Json => Box::new(Json { out: Lines::new(), followed: Vec::new() }),
        Format::Quiet => Box::new(Quiet { out: Lines::new(), printed: false, local: None, tunnel: false }),
        Format::Auto if tty::usable() => {
            let colours = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
            let board = Board::new(colours, options.verbose, options.zone, options.qr);
            let (columns, rows) = tty::size();
            Box::new(Pinned { terminal: Terminal::new(board, stdout(), columns, rows), hold: Hold::Ours })
        }
        Format::Auto => Box::new(Plain { out: Lines::new(), options, followed: Vec::new(), said: Vec::new() }),
    }
}

/// Says on standard error why doorstep cannot go on; with `json`, also to the program that reads standard output.
pub fn complain(failure: &Failure, as_json: bool) {
    if as_json {
        let _ = writeln!(stdout(), "{}", json::line(json::error(failure), SystemTime::now()));
    }
    let red = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (on, off) = if red { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let words: Vec<String> = failure.to_string().lines().map(|line| text::visible(line).into_owned()).collect();
    let _ = writeln!(io::stderr(), "{on}doorstep:{off} {}", words.join("\n"));
}

/// Standard output line by line, until it is closed.
struct Lines {
    out: Stdout,
    closed: bool,
}

impl Lines {
    fn new() -> Self {
        Self { out: stdout(), closed: false }
    }

    fn write(&mut self, lines: impl IntoIterator<Item = String>) {
        if self.closed {
            return;
        }
        let mut bytes = String::new();
        for line in lines {
            bytes.push_str(&line);
            bytes.push('\n');
        }
        let written = self.out.write_all(bytes.as_bytes()).and_then(|()| self.out.flush());
        self.closed = written.is_err();
    }
}

/// A terminal with a header that stays.
struct Pinned {
    terminal: Terminal<Stdout>,
    hold: Hold,
}

/// Whose the terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Ours,
    /// Given back; whoever did it will say when to take it again.
    Lent,
    /// The shell's, while we go on in the background. Shells do not tell when that ends.
    Shells,
}

impl Face for Pinned {
    fn sharing(&mut self, sharing: Sharing) {
        tty::quieten();
        self.terminal.board.share(sharing);
    }

    fn address(&mut self, address: Address) {
        self.terminal.board.add_address(address);
    }

    fn app(&mut self, app: &App) {
        self.terminal.board.name_app(app.title());
    }

    fn tunnel(&mut self, tunnel: Tunnel) {
        self.terminal.board.note_tunnel(tunnel);
    }

    fn gone(&mut self, url: &str) {
        self.terminal.board.remove_address(url);
    }

    fn requests(&mut self, mut requests: Vec<Exchange>, unseen: u64) {
        let skipped = requests.len().saturating_sub(limits::SHOWN_PER_TICK);
        if skipped as u64 + unseen > 0 {
            self.terminal.log(Entry::Skipped(skipped as u64 + unseen));
        }
        requests.drain(..skipped).for_each(drop);
        requests.into_iter().for_each(|exchange| self.terminal.log(Entry::Request(Box::new(exchange))));
    }

    fn transfer(&mut self, transfer: Arc<Transfer>) {
        self.terminal.board.follow(transfer);
    }

    fn finding(&mut self, finding: Finding) {
        self.terminal.log(Entry::Finding(finding));
    }

    fn stopping(&mut self, reason: Reason) {
        self.terminal.board.advance(Instant::now());
        let open = self.terminal.board.open_transfers();
        self.terminal.log(Entry::Said(stopping_sentence(reason, open)));
    }

    fn end(&mut self, summary: &Summary) {
        self.draw(Instant::now());
        self.suspend();
        let _ = self.terminal.print(&Line::new(format!("\n  {}\n", summary.sentence()), PLAIN));
    }

    fn next_tick(&self) -> Option<Duration> {
        match self.hold {
            Hold::Lent => None,
            Hold::Shells => Some(limits::PROGRESS_TICK),
            Hold::Ours if self.terminal.board.open_transfers() > 0 => Some(limits::PROGRESS_TICK),
            Hold::Ours => self.terminal.board.counts_down().then_some(limits::PROGRESS_EVENT),
        }
    }

    fn draw(&mut self, now: Instant) {
        if self.hold == Hold::Shells {
            self.resume();
        }
        if self.hold == Hold::Ours {
            self.terminal.board.advance(now);
            let _ = self.terminal.draw(now);
        }
    }

    fn resized(&mut self) {
        let (columns, rows) = tty::size();
        self.terminal.resize(columns, rows);
    }

    fn suspend(&mut self) {
        let _ = self.terminal.leave();
        tty::restore();
        self.hold = Hold::Lent;
    }

    fn resume(&mut self) {
        if !tty::foreground() {
            self.hold = Hold::Shells;
            return;
        }
        tty::quieten();
        self.hold = Hold::Ours;
        self.resized();
    }
}

/// Lines for a pipe or a file.
struct Plain {
    out: Lines,
    options: Options,
    followed: Vec<Arc<Transfer>>,
    /// What was said of each tunnel last.
    said: Vec<(usize, String)>,
}

impl Face for Plain {
    fn sharing(&mut self, sharing: Sharing) {
        let detail = if sharing.detail.is_empty() { String::new() } else { format!(" ({})", sharing.detail) };
        let mut lines = vec![text::visible(&format!("Sharing {}{detail}", sharing.title)).into_owned()];
        if let Some((user, password)) = &sharing.credentials {
            lines.push(format!("name: {}", text::visible(user)));
            lines.push(format!("password: {}", text::visible(password)));
        }
        lines.extend(sharing.fingerprint.map(|fingerprint| format!("fingerprint: {fingerprint}")));
        self.out.write(lines);
    }

    fn address(&mut self, address: Address) {
        self.out.write([format!("{}: {}", address.label(), address.url)]);
    }

    fn app(&mut self, app: &App) {
        self.out.write((!app.name.is_empty()).then(|| format!("It is a {}.", text::visible(&app.title()))));
    }

    fn tunnel(&mut self, tunnel: Tunnel) {
        let words = match &tunnel.state {
            Some(State::Up { .. }) => format!("connected to {}", tunnel.via),
            _ => text::visible(&tunnel::words(&tunnel)).into_owned(),
        };
        let known = self.said.iter_mut().find(|(way, _)| *way == tunnel.way);
        match known {
            Some((_, before)) if *before == words => return,
            Some((_, before)) => before.clone_from(&words),
            None => self.said.push((tunnel.way, words.clone())),
        }
        self.out.write([format!("{}: {words}", Scope::Tunnel.label())]);
    }

    fn requests(&mut self, requests: Vec<Exchange>, unseen: u64) {
        let layout =
            request::Layout { columns: None, client: 13, verbose: self.options.verbose, zone: self.options.zone };
        let missed = (unseen > 0).then(|| format!("… {} more, too fast to show", human::counted(unseen, "request")));
        let lines = requests.iter().map(|exchange| request::line(exchange, layout).paint(false)).chain(missed);
        self.out.write(lines);
    }

    fn finding(&mut self, finding: Finding) {
        let lines = board::finding_lines(&finding, usize::MAX);
        self.out.write(lines.iter().map(|line| line.paint(false).trim_start().to_owned()));
    }

    fn transfer(&mut self, transfer: Arc<Transfer>) {
        self.followed.retain(|transfer| !transfer.done.load(Relaxed));
        if self.followed.len() < limits::FOLLOWED_TRANSFERS {
            self.followed.push(transfer);
        }
    }

    fn stopping(&mut self, reason: Reason) {
        self.followed.retain(|transfer| !transfer.done.load(Relaxed));
        let named = self.followed.iter().map(|transfer| {
            let (client, target) = (request::address(transfer.client), text::readable_target(&transfer.target));
            let total = transfer.total.map_or_else(String::new, |total| format!(" of {}", human::bytes(total)));
            format!("{client}  {target}  {}{total}", human::bytes(transfer.moved.load(Relaxed)))
        });
        self.out.write(std::iter::once(stopping_sentence(reason, self.followed.len())).chain(named));
    }

    fn end(&mut self, summary: &Summary) {
        self.out.write([summary.sentence()]);
    }
}

/// Objects for a program.
struct Json {
    out: Lines,
    followed: Vec<(Arc<Transfer>, Instant)>,
}

impl Json {
    fn tell(&mut self, event: Value) {
        self.out.write([json::line(event, SystemTime::now())]);
    }
}

impl Face for Json {
    fn sharing(&mut self, sharing: Sharing) {
        self.tell(json::sharing(&sharing));
    }

    fn address(&mut self, address: Address) {
        self.tell(json::address(&address));
    }

    fn app(&mut self, app: &App) {
        self.tell(json::app(app));
    }

    fn tunnel(&mut self, tunnel: Tunnel) {
        self.tell(json::tunnel(&tunnel));
    }

    fn gone(&mut self, url: &str) {
        self.tell(json::gone(url));
    }

    fn requests(&mut self, requests: Vec<Exchange>, _: u64) {
        self.out
            .write(requests.iter().map(|exchange| json::line(json::request(exchange), exchange.began + exchange.took)));
    }

    fn transfer(&mut self, transfer: Arc<Transfer>) {
        if self.followed.len() < limits::FOLLOWED_TRANSFERS {
            self.followed.push((transfer, Instant::now()));
        }
    }

    fn finding(&mut self, finding: Finding) {
        self.tell(json::warning(&finding));
    }

    fn stopping(&mut self, reason: Reason) {
        self.tell(json::stopping(reason, self.followed.len()));
    }

    fn end(&mut self, summary: &Summary) {
        self.tell(json::summary(summary));
    }

    fn next_tick(&self) -> Option<Duration> {
        (!self.followed.is_empty()).then_some(limits::PROGRESS_TICK)
    }

    fn draw(&mut self, now: Instant) {
        let mut lines = Vec::new();
        self.followed.retain_mut(|(transfer, told)| {
            let done = transfer.done.load(Relaxed);
            if done || now.saturating_duration_since(*told) >= limits::PROGRESS_EVENT {
                *told = now;
                lines.push(json::line(json::transfer(transfer), SystemTime::now()));
            }
            !done
        });
        self.out.write(lines);
    }
}

/// The address, and what is needed to come in. Nothing else but errors.
struct Quiet {
    out: Lines,
    printed: bool,
    local: Option<Address>,
    /// The address that is wanted is one of the internet.
    tunnel: bool,
}

impl Face for Quiet {
    fn sharing(&mut self, sharing: Sharing) {
        self.tunnel = sharing.tunnel;
        if let Some((user, password)) = sharing.credentials {
            self.out.write([format!("{user}:{password}")]);
        }
    }

    fn address(&mut self, address: Address) {
        let wanted = match self.tunnel {
            true => address.scope == Scope::Tunnel,
            false => address.scope.is_for_phones() && address.numeric,
        };
        if wanted && !self.printed {
            self.printed = true;
            self.out.write([address.url]);
        } else if address.scope == Scope::ThisComputer && self.local.is_none() && !self.tunnel {
            self.local = Some(address);
        }
    }

    fn settled(&mut self) {
        if let Some(local) = self.local.take().filter(|_| !self.printed) {
            self.printed = true;
            self.out.write([local.url]);
        }
    }

    fn tunnel(&mut self, tunnel: Tunnel) {
        if let Some(State::Stopped { .. }) = &tunnel.state {
            let _ = writeln!(io::stderr(), "doorstep: {}", text::visible(&tunnel::words(&tunnel)));
        }
    }

    fn requests(&mut self, _: Vec<Exchange>, _: u64) {}

    fn finding(&mut self, finding: Finding) {
        if finding.severity == Severity::Error {
            let _ = writeln!(io::stderr(), "doorstep: {}", text::visible(&finding.what));
        }
    }

    fn stopping(&mut self, _: Reason) {}

    fn end(&mut self, _: &Summary) {}
}
