use super::super::story::Scope;
use super::*;
use crate::screen::samples;
use std::sync::atomic::{AtomicBool, AtomicU64};

fn board() -> Board {
    let mut board = Board::new(false, false, UtcOffset::UTC, true);
    board.share(Sharing {
        title: "http://127.0.0.1:8000".into(),
        detail: "Django 5.2 development server".into(),
        scheme: "http",
        port: 8080,
        ..Sharing::default()
    });
    let address = |url: &str, scope, numeric| Address { numeric, ..Address::new(url.into(), scope) };
    board.add_address(address("http://192.168.1.23:8080", Scope::Network, true));
    board.add_address(address("http://localhost:8080", Scope::ThisComputer, false));
    board.add_address(address("http://my-laptop.local:8080", Scope::Network, false));
    board
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.paint(false).trim_end().to_owned() + "\n").collect()
}

#[test]
fn addresses_stand_first_and_in_order() {
    let mut board = board();
    board.qr = None;
    assert_eq!(
        text(&board.header(80, 24)),
        "
  Sharing http://127.0.0.1:8000  (Django 5.2 development server)

    this computer   http://localhost:8080
    your network    http://my-laptop.local:8080
                    http://192.168.1.23:8080

"
    );
}

#[test]
fn the_end_is_a_time_of_day_unless_it_is_far() {
    let mut board = board();
    board.began = SystemTime::UNIX_EPOCH + Duration::from_secs(14 * 3600);
    assert_eq!(board.end(Duration::from_secs(5400)), "at 15:30:00");
    assert_eq!(board.end(Duration::from_secs(3 * 86_400)), "3 days after the start");
}

#[test]
fn a_narrow_screen_keeps_whole_addresses() {
    let mut board = board();
    board.qr = None;
    assert_eq!(
        text(&board.header(40, 12)),
        "  Sharing http://127.0.0.1:8000
  http://localhost:8080
  http://my-laptop.local:8080
  http://192.168.1.23:8080

"
    );
}

#[test]
fn the_qr_code_goes_where_it_fits_or_nowhere() {
    let board = board();
    let qr = board.qr.clone().unwrap();
    let place = |columns, rows| board.qr_place(&qr, columns, rows);
    assert_eq!(place(120, 40), QrPlace::Beside);
    assert_eq!(place(80, 24), QrPlace::Beside);
    assert_eq!(place(60, 40), QrPlace::Below);
    assert_eq!(place(60, 24), QrPlace::Nowhere);
    assert_eq!(place(40, 20), QrPlace::Nowhere);
    assert!(text(&board.header(120, 40)).contains("http://localhost:8080"));
    for row in &qr.rows {
        assert!(text(&board.header(120, 40)).contains(row.trim_end()));
    }
}

#[test]
fn nothing_is_ever_wider_or_higher_than_the_screen() {
    let mut board = board();
    board.share(Sharing {
        title: "./日本語のとても長い名前\u{1b}[2J".repeat(9),
        detail: "folder".into(),
        credentials: Some(("guest".into(), "bafod-kulim-zoret-mipad".into())),
        fingerprint: Some("AB:".repeat(31) + "AB"),
        scheme: "https",
        ..Sharing::default()
    });
    board.follow(std::sync::Arc::new(transfer("/big.iso", Some(3_000_000_000), 1_200_000_000)));
    let now = Instant::now();
    board.advance(now);
    for columns in 1..160 {
        for rows in 1..50 {
            let header = board.header(columns, rows);
            assert!(header.len() < rows.max(1) + 1, "{columns}×{rows}: {}", header.len());
            for line in header.iter().chain(&board.footer(columns, now)) {
                assert!(line.width() <= columns, "{columns}×{rows}: {line:?}");
                assert!(!line.paint(false).contains(char::is_control));
            }
        }
        for entry in [Entry::Skipped(12_345), Entry::Request(Box::new(samples::exchange("/a", 200)))] {
            assert!(board.entry(&entry, columns).iter().all(|line| line.width() <= columns));
        }
    }
}

#[test]
fn a_warning_says_what_why_and_fix() {
    assert_eq!(
        text(&finding_lines(&samples::finding(), 54)),
        "  ! Django shows its debug page to whoever causes an
    error.
    It holds settings and source code.
    DEBUG = False
"
    );
}

#[test]
fn a_long_transfer_shows_how_far_it_is() {
    let mut board = board();
    board.follow(std::sync::Arc::new(transfer("/big.iso", Some(3_000_000_000), 1_200_000_000)));
    let footer = text(&board.footer(80, Instant::now()));
    assert!(footer.contains("192.168.1.40  /big.iso"), "{footer}");
    assert!(footer.contains("━━━━━━━━   40%   1.2 GB of  3.0 GB"), "{footer}");
    let done = transfer("/done", None, 5);
    done.done.store(true, Relaxed);
    board.transfers.clear();
    board.follow(std::sync::Arc::new(done));
    assert!(!board.advance(Instant::now()));
}

fn transfer(target: &str, total: Option<u64>, moved: u64) -> Transfer {
    Transfer {
        began: SystemTime::now() - Duration::from_secs(60),
        client: "192.168.1.40".parse().unwrap(),
        target: target.into(),
        total,
        moved: AtomicU64::new(moved),
        done: AtomicBool::new(false),
    }
}

#[test]
fn the_address_of_the_internet_stands_first_and_has_the_code() {
    let mut board = Board::new(false, false, UtcOffset::UTC, true);
    board.share(Sharing { title: "./photos".into(), port: 8080, tunnel: true, ..Sharing::default() });
    let tunnel = |state| super::super::story::Tunnel { way: 0, via: "tun.example.com".into(), state: Some(state) };
    board.note_tunnel(tunnel(State::Connecting));
    let number = Address { numeric: true, ..Address::new("http://192.168.1.23:8080".into(), Scope::Network) };
    board.add_address(number);
    assert!(text(&board.words(80, true)).contains("    internet        connecting to tun.example.com …\n"));
    let of_room = board.qr.clone();
    board.note_tunnel(tunnel(State::Up { name: "studio".into() }));
    board.add_address(Address::new("https://blog.tun.example.com".into(), Scope::Tunnel));
    assert_eq!(
        text(&board.words(80, true)),
        "
  Sharing ./photos

    internet        https://blog.tun.example.com
    your network    http://192.168.1.23:8080

"
    );
    assert_ne!(board.qr, of_room);
    let until = Instant::now() + Duration::from_secs(60);
    board.note_tunnel(tunnel(State::Waiting { why: "the connection broke".into(), until }));
    assert!(board.counts_down());
    assert!(text(&board.words(80, true)).contains("reconnecting to tun.example.com in 60 s:"));
    board.remove_address("https://blog.tun.example.com");
    assert_eq!(board.qr, of_room);
}
