//! One line per request.

use std::net::IpAddr;
use std::time::SystemTime;

use anstyle::Style;
use doorstep_http::{Exchange, Outcome};
use time::{OffsetDateTime, UtcOffset};

use super::line::{BAD, DIM, GOOD, Line, MOVED, PLAIN, WARN};
use super::{human, text};

/// How request lines are laid out: what fits depends on the columns there are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Columns of the screen; `None` where lines may be as long as they like.
    pub columns: Option<usize>,
    /// Columns for the client's address.
    pub client: usize,
    pub verbose: bool,
    pub zone: UtcOffset,
}

/// The narrowest screen that shows the time, the duration, and the size.
const WITH_TIME: usize = 64;
const WITH_TOOK: usize = 72;
const WITH_SIZE: usize = 50;
const WITH_CLIENT: usize = 36;

/// `14:02:11  192.168.1.40   GET /polls/            200   12 ms   4.1 kB`
pub fn line(exchange: &Exchange, layout: Layout) -> Line {
    let Some(columns) = layout.columns else { return free(exchange, layout) };
    let mut left = Line::new("  ", PLAIN);
    if columns >= WITH_TIME {
        left = left.and(clock(exchange.began + exchange.took, layout.zone), DIM).and("  ", PLAIN);
    }
    if columns >= WITH_CLIENT {
        let room = layout.client.min(columns / 3);
        let at = left.width() + room + 2;
        left = left.and(text::fit(&address(exchange.client), room).into_owned(), PLAIN).to(at);
    }

    let mut right = Line::new("  ", PLAIN).and(exchange.status.as_str(), style(exchange));
    if columns >= WITH_TOOK {
        right = right.and(format!("  {:>7}", human::took(exchange.took)), DIM);
    }
    if columns >= WITH_SIZE {
        right = right.and(format!("  {:>7}", human::bytes(moved(exchange))), PLAIN);
    }
    let flag = flag(exchange);
    let room = columns.saturating_sub(left.width() + right.width() + 1);
    let mut target = text::readable_target(&exchange.target).into_owned();
    if layout.verbose {
        target.push_str(&more(exchange));
    }
    let method = text::visible(exchange.method.as_str()).into_owned();
    let method = text::fit(&method, 8).into_owned();
    let path_room = room.saturating_sub(text::width(&method) + 1 + text::width(flag));
    let path = if layout.verbose { text::fit(&target, path_room) } else { text::fit_middle(&target, path_room) };
    let at = left.width() + room;
    let left = left.and(method, DIM).and(" ", PLAIN).and(path, PLAIN).and(flag, WARN).to(at);
    let mut line = left;
    line.0.extend(right.0);
    line.cut(columns)
}

/// The line without columns, for a pipe.
fn free(exchange: &Exchange, layout: Layout) -> Line {
    let more = if layout.verbose { more(exchange) } else { String::new() };
    Line::new(
        format!(
            "{}  {:<width$}  {} {}{more}  {}  {}  {}{}",
            clock(exchange.began + exchange.took, layout.zone),
            address(exchange.client),
            text::visible(exchange.method.as_str()),
            text::readable_target(&exchange.target),
            exchange.status.as_str(),
            human::took(exchange.took),
            human::bytes(moved(exchange)),
            flag(exchange),
            width = layout.client,
        ),
        PLAIN,
    )
}

fn more(exchange: &Exchange) -> String {
    let agent = exchange.user_agent.as_deref().unwrap_or("no user agent");
    format!("  {} {}", text::visible(&exchange.host), text::visible(agent))
}

/// What the visitor's body or ours weighed: an upload counts by what came in.
fn moved(exchange: &Exchange) -> u64 {
    exchange.sent.max(exchange.received)
}

fn flag(exchange: &Exchange) -> &'static str {
    match exchange.outcome {
        Outcome::Complete | Outcome::Refused => "",
        Outcome::ClientGone => " (left early)",
        Outcome::Broken => " (broke off)",
    }
}

fn style(exchange: &Exchange) -> Style {
    match exchange.status.as_u16() {
        100..=299 => GOOD,
        300..=399 => MOVED,
        400..=499 => WARN,
        _ => BAD,
    }
}

/// The visitor's address; this computer's own is called by its name.
pub fn address(client: IpAddr) -> String {
    let client = client.to_canonical();
    if client.is_loopback() { "this computer".to_owned() } else { client.to_string() }
}

/// Local time of day.
pub fn clock(at: SystemTime, zone: UtcOffset) -> String {
    let at = OffsetDateTime::from(at).to_offset(zone);
    format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::samples;

    fn shown(target: &str, columns: Option<usize>, verbose: bool) -> String {
        let layout = Layout { columns, client: 13, verbose, zone: UtcOffset::UTC };
        line(&samples::exchange(target, 200), layout).paint(false)
    }

    #[test]
    fn drops_columns_as_the_screen_narrows() {
        assert_eq!(
            shown("/polls/", Some(80), false),
            "  14:02:11  192.168.1.40   GET /polls/                    200    12 ms   4.1 kB"
        );
        assert_eq!(
            shown("/polls/", Some(64), false),
            "  14:02:11  192.168.1.40   GET /polls/             200   4.1 kB"
        );
        assert_eq!(shown("/polls/", Some(50), false), "  192.168.1.40   GET /polls/         200   4.1 kB");
        assert_eq!(shown("/polls/", Some(40), false), "  192.168.1.40   GET /polls/        200");
        assert_eq!(shown("/polls/", Some(30), false), "  GET /polls/             200");
        assert_eq!(shown("/polls/", None, false), "14:02:11  192.168.1.40   GET /polls/  200  12 ms  4.1 kB");
    }

    #[test]
    fn never_exceeds_the_columns_and_never_passes_control_characters() {
        let target = "/a\u{1b}]0;owned\u{7}/日本語/%1b%5b2J/🙂🙂🙂/".to_owned() + &"x".repeat(300);
        for columns in 1..200 {
            for verbose in [false, true] {
                let layout = Layout { columns: Some(columns), client: 39, verbose, zone: UtcOffset::UTC };
                let line = line(&samples::exchange(&target, 404), layout);
                assert!(line.width() <= columns, "{columns}: {line:?}");
                assert!(!line.paint(false).contains(char::is_control));
            }
        }
        assert!(!shown(&target, None, true).contains(char::is_control));
    }

    #[test]
    fn says_who_left_and_what_broke() {
        let mut exchange = samples::exchange("/big.iso", 200);
        exchange.outcome = Outcome::ClientGone;
        let layout = Layout { columns: Some(80), client: 13, verbose: false, zone: UtcOffset::UTC };
        assert!(line(&exchange, layout).paint(false).contains("/big.iso (left early)"));
        exchange.client = "::ffff:127.0.0.1".parse().unwrap();
        assert!(line(&exchange, layout).paint(false).contains("this computer"));
    }

    #[test]
    fn verbose_adds_host_and_user_agent() {
        assert!(shown("/", Some(120), true).contains("GET /  192.168.1.23:8080 Mozilla/5.0"));
    }
}
