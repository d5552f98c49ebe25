use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// What changes when a file does: which one it is, how long, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub len: u64,
    device: u64,
    inode: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    /// The same of its contents, name or rights; nobody can set it back.
    changed: i128,
}

impl Stamp {
    #[expect(clippy::unnecessary_cast, reason = "the types of these fields differ between architectures")]
    pub fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            len: u64::try_from(stat.st_size).unwrap_or(0),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// The inside of an entity tag. The same for the same bytes on every start of doorstep.
    pub fn tag(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.len, self.modified, self.inode)
    }

    pub fn modified(&self) -> SystemTime {
        time(self.modified)
    }

    pub fn is_newer_or_equal(&self, other: &Self) -> bool {
        self.modified >= other.modified
    }

    /// Whether another change would have to show: none happened within `settled` before `now`.
    pub fn is_settled(&self, now: SystemTime, settled: Duration) -> bool {
        let last = time(self.modified.max(self.changed));
        now.duration_since(last).is_ok_and(|age| age >= settled)
    }
}

fn time(nanoseconds: i128) -> SystemTime {
    let distance = |nanoseconds: u128| {
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanoseconds % 1_000_000_000) as u32)
    };
    let time = if nanoseconds >= 0 {
        UNIX_EPOCH.checked_add(distance(nanoseconds.unsigned_abs()))
    } else {
        UNIX_EPOCH.checked_sub(distance(nanoseconds.unsigned_abs()))
    };
    time.unwrap_or(UNIX_EPOCH)
}
