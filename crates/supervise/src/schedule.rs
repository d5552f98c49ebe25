use std::str::FromStr as _;
use std::time::Duration;

use croner::Cron;
use doorstep_model::Schedule;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::limits;

/// When a job is due. Without IO; the time comes in as an argument. However the clock moves, a time is due at most once.
#[derive(Debug)]
pub(crate) struct Due {
    rule: Rule,
    zone: TimeZone,
    /// The run that was last due, or when the schedule began.
    last: Timestamp,
    next: Option<Timestamp>,
}

#[derive(Debug)]
enum Rule {
    Every(Duration),
    Cron(Box<Cron>),
    /// A form that cannot be read: whoever checked it read it otherwise.
    Never,
}

impl Due {
    /// `last`: when it was last due, from an earlier run of this program; else the first run is one interval from `now`.
    pub fn new(schedule: &Schedule, zone: TimeZone, last: Option<Timestamp>, now: Timestamp) -> Self {
        let rule = match schedule {
            Schedule::Every(interval) => Rule::Every(*interval),
            Schedule::Cron(form) => Cron::from_str(form).map_or(Rule::Never, |cron| Rule::Cron(Box::new(cron))),
        };
        let mut due = Self { rule, zone, last: now, next: None };
        // What was missed while this program did not run: an interval that is over is due now, a time of the day is not.
        if let (Rule::Every(_), Some(last)) = (&due.rule, last)
            && last <= now
        {
            due.last = last;
        }
        due.next = due.after(due.last);
        due
    }

    /// The next time, if there is one.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// When it was last due.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Whether it is time. Of several times that passed since the last call, only one counts.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        let step_back = Timestamp::duration_since(self.last, now);
        if step_back > jiff::SignedDuration::try_from(limits::CLOCK_STEP_BACK).unwrap_or(jiff::SignedDuration::MAX) {
            // The clock was wrong and is right now: what was done in that future does not count.
            self.last = now;
            self.next = self.after(now);
            return false;
        }
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.last = now;
        self.next = self.after(now);
        true
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(interval) => time.checked_add(*interval).ok(),
            Rule::Cron(cron) => {
                let local: Zoned = time.to_zoned(self.zone.clone());
                cron.find_next_occurrence(&local, false).ok().map(|next| next.timestamp())
            }
            Rule::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Central European time, with its changes, without the system's data.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn daily(form: &str, now: &str) -> Due {
        Due::new(&Schedule::Cron(form.into()), berlin(), None, at(now))
    }

    #[test]
    fn a_time_that_does_not_exist_in_spring_and_one_that_is_twice_in_autumn() {
        // 02:30 on 29 March 2026 is skipped; the run comes once all the same.
        let mut due = daily("30 2 * * *", "2026-03-28T12:00:00Z");
        let runs = runs(&mut due, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(runs.len(), 2, "{runs:?}");
        // 02:30 on 25 October 2026 is there twice.
        let mut due = daily("30 2 * * *", "2026-10-24T12:00:00Z");
        let runs = self::runs(&mut due, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(runs.len(), 2, "{runs:?}");
    }

    fn runs(due: &mut Due, from: &str, to: &str) -> Vec<Timestamp> {
        let (mut now, end) = (at(from), at(to));
        let mut runs = Vec::new();
        while now < end {
            if due.is_due(now) {
                runs.push(now);
            }
            now = now.checked_add(Duration::from_secs(60)).unwrap();
        }
        runs
    }

    #[test]
    fn a_clock_that_jumps_ahead_brings_one_run() {
        let mut due =
            Due::new(&Schedule::Every(Duration::from_secs(60)), TimeZone::UTC, None, at("2026-01-01T00:00:00Z"));
        assert!(!due.is_due(at("2026-01-01T00:00:59Z")));
        assert!(due.is_due(at("2027-01-01T00:00:00Z")));
        assert!(!due.is_due(at("2027-01-01T00:00:30Z")));
        // Back to the right year: goes on from there.
        assert!(!due.is_due(at("2026-01-01T00:05:00Z")));
        assert!(due.is_due(at("2026-01-01T00:06:00Z")));
    }

    #[test]
    fn an_interval_goes_on_over_restarts() {
        let every = Schedule::Every(Duration::from_secs(3600));
        let mut due = Due::new(&every, TimeZone::UTC, Some(at("2026-01-01T00:00:00Z")), at("2026-01-01T00:50:00Z"));
        assert!(!due.is_due(at("2026-01-01T00:59:59Z")) && due.is_due(at("2026-01-01T01:00:00Z")));
        let mut late = Due::new(&every, TimeZone::UTC, Some(at("2026-01-01T00:00:00Z")), at("2026-01-02T00:00:00Z"));
        assert!(late.is_due(at("2026-01-02T00:00:00Z")) && !late.is_due(at("2026-01-02T00:00:01Z")));
    }

    proptest! {
        #[test]
        fn never_twice_within_one_minute_of_the_clock(jumps in proptest::collection::vec(-7000i64..7000, 1..200)) {
            let mut now = at("2026-06-01T00:00:00Z");
            let mut due = Due::new(&Schedule::Cron("* * * * *".into()), TimeZone::UTC, None, now);
            let mut last: Option<Timestamp> = None;
            for jump in jumps {
                now = now.checked_add(jiff::SignedDuration::from_secs(jump)).unwrap();
                if due.is_due(now) {
                    prop_assert!(last.is_none_or(|last| last.as_second() / 60 != now.as_second() / 60));
                    last = Some(now);
                }
            }
        }
    }
}
