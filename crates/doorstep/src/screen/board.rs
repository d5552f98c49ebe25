//! What stands on the screen: a header that stays, a log that moves, transfers at the bottom. Pure: state in, lines out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use doorstep_http::{Exchange, Transfer};
use doorstep_model::{Finding, Severity};
use time::UtcOffset;

use super::line::{BAD, BOLD, DIM, GOOD, LINK, Line, PLAIN, QR, WARN};
use super::qr::Qr;
use super::story::{Address, Scope, Sharing, Tunnel};
use super::{human, request, text, tunnel};
use crate::lend::State;
use crate::limits;

/// Rows the log keeps at least when a QR code is pinned above it.
const LOG_ROWS: usize = 8;

/// Columns between words and QR code.
const QR_GAP: usize = 2;

/// Column of a QR code beside words, where they leave it free: it should not move when an address is added.
const QR_AT: usize = 60;

/// Column at which addresses start.
const ADDRESS_AT: usize = 20;
const ADDRESS_AT_NARROW: usize = 2;
const NARROW: usize = 46;

pub struct Board {
    pub colours: bool,
    pub verbose: bool,
    pub zone: UtcOffset,
    pub with_qr: bool,
    sharing: Option<Sharing>,
    addresses: Vec<Address>,
    tunnels: Vec<Tunnel>,
    qr: Option<Qr>,
    /// The address that it says.
    qr_of: Option<String>,
    transfers: Vec<Following>,
    began: SystemTime,
    /// Widest client address so far.
    client: usize,
}

/// One thing in the log.
pub enum Entry {
    Request(Box<Exchange>),
    Finding(Finding),
    /// A sentence of ours.
    Said(String),
    /// This many requests that came too fast to be shown.
    Skipped(u64),
}

struct Following {
    transfer: Arc<Transfer>,
    seen: (Instant, u64),
    /// Bytes per second, smoothed.
    rate: f64,
}

/// Where the QR code goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QrPlace {
    Beside,
    Below,
    Nowhere,
}

impl Board {
    pub fn new(colours: bool, verbose: bool, zone: UtcOffset, with_qr: bool) -> Self {
        Self {
            colours,
            verbose,
            zone,
            with_qr,
            sharing: None,
            addresses: Vec::new(),
            tunnels: Vec::new(),
            qr: None,
            qr_of: None,
            transfers: Vec::new(),
            began: SystemTime::now(),
            client: 15,
        }
    }

    pub fn share(&mut self, sharing: Sharing) {
        self.sharing = Some(sharing);
    }

    pub fn name_app(&mut self, title: String) {
        if let Some(sharing) = &mut self.sharing {
            sharing.detail = title;
        }
    }

    pub fn add_address(&mut self, address: Address) {
        if self.addresses.contains(&address) {
            return;
        }
        self.addresses.push(address);
        self.addresses.sort_by_key(|a| (a.scope, a.label.is_some(), a.numeric));
        self.choose_qr();
    }

    /// An address leads nowhere any more.
    pub fn remove_address(&mut self, url: &str) {
        self.addresses.retain(|address| address.url != url);
        self.choose_qr();
    }

    /// How one of the ways from the internet fares.
    pub fn note_tunnel(&mut self, tunnel: Tunnel) {
        match self.tunnels.iter_mut().find(|known| known.way == tunnel.way) {
            Some(known) => *known = tunnel,
            None => self.tunnels.push(tunnel),
        }
    }

    /// Whether a time on the screen is running down.
    pub fn counts_down(&self) -> bool {
        self.tunnels.iter().any(|tunnel| matches!(tunnel.state, Some(State::Waiting { .. })))
    }

    /// The address of the internet where there is one, else the first number that a phone in the room can use. The code
    /// stays while its address does.
    fn choose_qr(&mut self) {
        if !self.with_qr {
            return;
        }
        let best = self.addresses.iter().find(|one| one.is_scannable()).map(|one| one.url.clone());
        if self.qr_of != best {
            self.qr = best.as_deref().and_then(|url| Qr::new(url, self.colours));
            self.qr_of = best;
        }
    }

    pub fn follow(&mut self, transfer: Arc<Transfer>) {
        if self.transfers.len() < limits::FOLLOWED_TRANSFERS {
            self.transfers.push(Following { transfer, seen: (Instant::now(), 0), rate: 0.0 });
        }
    }

    /// Takes stock of all transfers; returns whether any is left.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.transfers.retain(|following| !following.transfer.done.load(Relaxed));
        for following in &mut self.transfers {
            let (then, before) = following.seen;
            let passed = now.saturating_duration_since(then).as_secs_f64();
            if passed >= limits::PROGRESS_TICK.as_secs_f64() / 2.0 {
                let moved = following.transfer.moved.load(Relaxed);
                let current = moved.saturating_sub(before) as f64 / passed;
                following.rate = if before == 0 { current } else { following.rate * 0.7 + current * 0.3 };
                following.seen = (now, moved);
            }
        }
        !self.transfers.is_empty()
    }

    pub fn open_transfers(&self) -> usize {
        self.transfers.len()
    }

    pub fn note_client(&mut self, exchange: &Exchange) {
        self.client = self.client.max(text::width(&request::address(exchange.client)));
    }

    /// The rows that stay at the top.
    pub fn header(&self, columns: usize, rows: usize) -> Vec<Line> {
        let roomy = rows >= 16;
        let lines = match &self.qr {
            Some(qr) => match self.qr_place(qr, columns, rows) {
                QrPlace::Nowhere => self.words(columns, roomy),
                QrPlace::Below => {
                    let mut lines = self.words(columns, roomy);
                    lines.extend(qr.rows.iter().map(|row| self.qr_row(Line::new("  ", PLAIN), row)));
                    lines.push(Line::default());
                    lines
                }
                QrPlace::Beside => {
                    let mut lines = self.words(columns - qr.width - QR_GAP, roomy);
                    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
                    let at = (widest + QR_GAP).max(QR_AT).min(columns - qr.width);
                    lines.resize(lines.len().max(qr.rows.len() + 1), Line::default());
                    for (line, row) in lines.iter_mut().zip(&qr.rows) {
                        *line = self.qr_row(std::mem::take(line).to(at), row);
                    }
                    lines
                }
            },
            None => self.words(columns, roomy),
        };
        cut(lines, columns, rows)
    }

    fn qr_place(&self, qr: &Qr, columns: usize, rows: usize) -> QrPlace {
        let roomy = rows >= 16;
        if let Some(room) = columns.checked_sub(qr.width + QR_GAP).filter(|room| *room >= NARROW) {
            let words = self.words(room, roomy);
            let fits = words.iter().all(|line| line.width() <= room);
            if fits && words.len().max(qr.rows.len() + 1) + LOG_ROWS <= rows {
                return QrPlace::Beside;
            }
        }
        if qr.width + 4 <= columns && self.words(columns, roomy).len() + qr.rows.len() + 1 + LOG_ROWS <= rows {
            return QrPlace::Below;
        }
        QrPlace::Nowhere
    }

    fn qr_row(&self, line: Line, row: &str) -> Line {
        line.and(row, if self.colours { QR } else { PLAIN })
    }

    /// The header's words, a blank row at the end.
    pub fn words(&self, columns: usize, roomy: bool) -> Vec<Line> {
        let Some(sharing) = &self.sharing else { return Vec::new() };
        let mut lines = Vec::new();
        let blank = |lines: &mut Vec<Line>| {
            if roomy {
                lines.push(Line::default());
            }
        };
        blank(&mut lines);
        let title = text::visible(&sharing.title);
        let title_room = columns.saturating_sub(11);
        let mut headline = Line::new("  Sharing ", PLAIN).and(text::fit_middle(&title, title_room).into_owned(), BOLD);
        if !sharing.detail.is_empty() {
            let detail = format!("({})", text::visible(&sharing.detail));
            if headline.width() + 2 + text::width(&detail) <= columns {
                headline = headline.and("  ", PLAIN).and(detail, DIM);
            } else if roomy {
                lines.push(std::mem::take(&mut headline));
                headline = Line::new("  ", PLAIN).and(text::fit(&detail, columns.saturating_sub(2)).into_owned(), DIM);
            }
        }
        lines.push(headline);
        blank(&mut lines);

        let narrow = columns < NARROW;
        let mut row = |label: &str, value: Line| {
            if narrow {
                lines.push(join(Line::new(" ".repeat(ADDRESS_AT_NARROW), PLAIN), value));
            } else {
                lines.push(join(Line::new(format!("    {label}"), DIM).to(ADDRESS_AT), value));
            }
        };
        if sharing.tunnel {
            let room = columns.saturating_sub(if narrow { ADDRESS_AT_NARROW } else { ADDRESS_AT });
            let by_tunnel = self.addresses.iter().filter(|address| address.scope == Scope::Tunnel);
            let urls: Vec<String> = by_tunnel.map(|address| address.url.clone()).collect();
            for (at, line) in tunnel::rows(&self.tunnels, &urls, room).into_iter().enumerate() {
                row(if at == 0 { Scope::Tunnel.label() } else { "" }, line);
            }
        }
        let mut last = "";
        for address in self.addresses.iter().filter(|address| address.scope != Scope::Tunnel) {
            let label = text::fit(address.label(), ADDRESS_AT - 5);
            row(if last == address.label() { "" } else { &label }, Line::new(address.url.clone(), LINK));
            last = address.label();
        }
        if sharing.local && roomy && sharing.kind.is_web() {
            row("your network", Line::new("not shared (--local)", DIM));
        }
        if let Some((user, password)) = &sharing.credentials {
            row("name", Line::new(text::visible(user).into_owned(), BOLD));
            row("password", Line::new(text::visible(password).into_owned(), BOLD));
        }
        if let Some(fingerprint) = &sharing.fingerprint {
            for (at, part) in fingerprint_rows(fingerprint, columns).into_iter().enumerate() {
                row(if at == 0 { "fingerprint" } else { "" }, Line::new(part, DIM));
            }
        }
        if let Some(expires) = sharing.expires.filter(|_| roomy) {
            row("ends", Line::new(self.end(expires), DIM));
        }
        lines.push(Line::default());
        lines
    }

    /// When the share is over: a time of day, where that says enough.
    fn end(&self, expires: Duration) -> String {
        const DAY: Duration = Duration::from_secs(86_400);
        match self.began.checked_add(expires) {
            Some(end) if expires < DAY => format!("at {}", request::clock(end, self.zone)),
            _ => format!("{} after the start", human::duration(expires)),
        }
    }

    /// The lines of one log entry.
    pub fn entry(&self, entry: &Entry, columns: usize) -> Vec<Line> {
        match entry {
            Entry::Request(exchange) => vec![request::line(exchange, self.layout(Some(columns)))],
            Entry::Finding(finding) => finding_lines(finding, columns),
            Entry::Said(sentence) => text::wrap(&text::visible(sentence), columns.saturating_sub(4))
                .into_iter()
                .map(|line| Line::new("  ", PLAIN).and(line, BOLD))
                .collect(),
            Entry::Skipped(count) => {
                vec![
                    Line::new(format!("  … {} more, too fast to show", human::counted(*count, "request")), DIM)
                        .cut(columns),
                ]
            }
        }
    }

    pub fn layout(&self, columns: Option<usize>) -> request::Layout {
        request::Layout { columns, client: self.client, verbose: self.verbose, zone: self.zone }
    }

    /// The rows that stay at the bottom: transfers that have been going for a while.
    pub fn footer(&self, columns: usize, now: Instant) -> Vec<Line> {
        let long = |f: &&Following| f.transfer.began.elapsed().is_ok_and(|age| age >= Duration::from_secs(1));
        let going: Vec<&Following> = self.transfers.iter().filter(long).collect();
        if going.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![Line::default()];
        lines.extend(going.iter().take(limits::SHOWN_TRANSFERS).map(|following| progress(following, columns, now)));
        if let Some(more) = going.len().checked_sub(limits::SHOWN_TRANSFERS).filter(|more| *more > 0) {
            lines.push(Line::new(format!("  … and {more} more under way"), DIM).cut(columns));
        }
        lines
    }
}

/// A finding in words: what, why, fix.
pub fn finding_lines(finding: &Finding, columns: usize) -> Vec<Line> {
    let (mark, style) = match finding.severity {
        Severity::Note => ("i", DIM),
        Severity::Warning => ("!", WARN),
        Severity::Error => ("✗", BAD),
    };
    let mut lines = Vec::new();
    let room = columns.saturating_sub(5);
    for (at, part) in text::wrap(&text::visible(&finding.what), room).into_iter().enumerate() {
        let lead = Line::new(if at == 0 { format!("  {mark} ") } else { "    ".to_owned() }, style);
        lines.push(lead.and(part, if finding.severity == Severity::Note { PLAIN } else { style }));
    }
    for part in finding.why.lines().flat_map(|line| text::wrap(&text::visible(line), room)) {
        lines.push(Line::new("    ", PLAIN).and(part, PLAIN));
    }
    for part in finding.fix.lines().flat_map(|line| text::wrap(&text::visible(line), room)) {
        lines.push(Line::new("    ", PLAIN).and(part, BOLD));
    }
    lines
}

/// A header never takes the whole screen: a third of it, or four rows, stay for the log.
fn cut(mut lines: Vec<Line>, columns: usize, rows: usize) -> Vec<Line> {
    let most = rows.saturating_sub((rows / 3).clamp(1, 4));
    lines.truncate(most);
    lines.into_iter().map(|line| line.cut(columns)).collect()
}

fn join(mut line: Line, more: Line) -> Line {
    line.0.extend(more.0);
    line
}

fn fingerprint_rows(fingerprint: &str, columns: usize) -> Vec<String> {
    let room = if columns < NARROW {
        columns.saturating_sub(ADDRESS_AT_NARROW)
    } else {
        columns.saturating_sub(ADDRESS_AT).min(48)
    };
    let per_row = (room / 3).max(1) * 3;
    let chars: Vec<char> = fingerprint.chars().collect();
    chars.chunks(per_row).map(|part| part.iter().collect()).collect()
}

fn progress(following: &Following, columns: usize, now: Instant) -> Line {
    let transfer = &following.transfer;
    let moved = transfer.moved.load(Relaxed);
    // A stalled transfer's rate sinks although no new stock was taken.
    let stale = now.saturating_duration_since(following.seen.0) > limits::PROGRESS_TICK * 8;
    let rate = if stale { 0.0 } else { following.rate };
    let mut right = Line::default();
    if let Some(total) = transfer.total.filter(|total| *total > 0) {
        let share = (moved as f64 / total as f64).clamp(0.0, 1.0);
        if columns >= 70 {
            let bar = if columns >= 100 { 16 } else { 8 };
            let full = (share * bar as f64).round() as usize;
            right = right.and("  ", PLAIN).and("━".repeat(full), GOOD).and("━".repeat(bar - full), DIM);
        }
        right = right.and(format!("  {:>3.0}%", share * 100.0), GOOD);
        if columns >= 56 {
            right = right.and(format!("  {:>7} of {:>7}", human::bytes(moved), human::bytes(total)), PLAIN);
        }
        let left = total.saturating_sub(moved) as f64 / rate;
        if columns >= 90 && left.is_finite() {
            right =
                right.and(format!("  {} left", human::took(Duration::from_secs_f64(left.clamp(0.0, 360_000.0)))), DIM);
        }
    } else {
        right = right.and(format!("  {}", human::bytes(moved)), GOOD);
    }
    right = right.and(format!("  {:>7}/s", human::bytes(rate as u64)), DIM);
    let client = request::address(transfer.client);
    let left = Line::new("  ▸ ", GOOD);
    let room = columns.saturating_sub(left.width() + right.width() + 1);
    let target = text::readable_target(&transfer.target).into_owned();
    let path_room = room.saturating_sub(text::width(&client) + 2);
    let left = if path_room >= 12 {
        left.and(client, PLAIN).and("  ", PLAIN).and(text::fit_middle(&target, path_room).into_owned(), PLAIN)
    } else {
        left.and(text::fit_middle(&target, room).into_owned(), PLAIN)
    };
    join(left.to(room + 4), right).cut(columns)
}

/// A bounded log: the oldest entries fall off.
#[derive(Default)]
pub struct History(VecDeque<Entry>);

impl History {
    pub fn push(&mut self, entry: Entry) -> &Entry {
        if self.0.len() >= limits::KEPT_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(entry);
        &self.0[self.0.len() - 1]
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
