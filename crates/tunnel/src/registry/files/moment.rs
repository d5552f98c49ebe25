//! Moments as people write them, `2026-11-24T18:42:00Z`, and as seconds since 1970.

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};
use toml::value::{Datetime, Offset};

pub fn show(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, clock) = (moment.date(), moment.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

/// `None` for a time without a date, or one before 1970. A date alone is its beginning; without a zone it is UTC.
pub fn read(moment: &Datetime) -> Option<u64> {
    let date = moment.date?;
    let date = Date::from_calendar_date(i32::from(date.year), Month::try_from(date.month).ok()?, date.day).ok()?;
    let clock = match moment.time {
        Some(clock) => Time::from_hms(clock.hour, clock.minute, clock.second.unwrap_or(0)).ok()?,
        None => Time::MIDNIGHT,
    };
    let offset = match moment.offset {
        Some(Offset::Custom { minutes }) => UtcOffset::from_whole_seconds(i32::from(minutes) * 60).ok()?,
        Some(Offset::Z) | None => UtcOffset::UTC,
    };
    u64::try_from(OffsetDateTime::new_in_offset(date, clock, offset).unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let read = |text: &str| read(&text.parse().unwrap());
        for seconds in [0, 1_000_000_000, 1_795_545_749, 253_402_300_799] {
            assert_eq!(read(&show(seconds)), Some(seconds));
        }
        assert_eq!(read("2026-11-24T18:42:00+01:00"), read("2026-11-24T17:42:00Z"));
        assert_eq!(read("2026-11-24"), read("2026-11-24T00:00:00"));
        assert_eq!(read("1969-12-31"), None);
        assert_eq!(read("12:00:00"), None);
    }
}
