use std::time::{Duration, Instant, SystemTime};

use doorstep_model::{Blame, Finding, Severity};

use crate::limits::CLOCK_JUMP;

/// Notices when the wall clock jumps.
pub(super) struct ClockWatch {
    wall: SystemTime,
    steady: Instant,
}

impl ClockWatch {
    pub fn new(wall: SystemTime, steady: Instant) -> Self {
        Self { wall, steady }
    }

    /// By how much the wall clock moved since the last look more than time went by, if that is worth a word.
    pub fn look(&mut self, wall: SystemTime, steady: Instant) -> Option<Finding> {
        let expected = self.wall + steady.saturating_duration_since(self.steady);
        (self.wall, self.steady) = (wall, steady);
        match wall.duration_since(expected) {
            Ok(ahead) if ahead > CLOCK_JUMP => Some(jumped(ahead, "forward")),
            Err(back) if back.duration() > CLOCK_JUMP => Some(jumped(back.duration(), "back")),
            _ => None,
        }
    }
}

/// Also after a sleep of the computer, which is why this is only a note.
fn jumped(by: Duration, way: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        blame: Blame::Environment,
        id: "clock-jumped",
        what: format!("This computer's clock went {way} by {} minutes, or the computer slept.", by.as_secs() / 60),
        why: "Whether certificates are due is judged by it. Before any is asked for, it is compared with the authority's.".into(),
        fix: "If the clock is wrong: timedatectl set-ntp true".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_noticed_and_drift_is_not() {
        let (wall, steady) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), Instant::now());
        let mut watch = ClockWatch::new(wall, steady);
        let minute = Duration::from_secs(60);
        assert_eq!(watch.look(wall + minute, steady + minute), None);
        assert_eq!(watch.look(wall + minute * 3, steady + minute * 2), None);
        let year = minute * 60 * 24 * 365;
        assert!(watch.look(wall + year, steady + minute * 3).is_some_and(|finding| finding.what.contains("forward")));
        assert!(watch.look(wall, steady + minute * 4).is_some_and(|finding| finding.what.contains("back")));
        assert_eq!(watch.look(wall + minute, steady + minute * 5), None);
    }
}
