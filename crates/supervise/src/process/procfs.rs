use std::fs::{self, File};
use std::io::Read as _;
use std::time::Duration;

use crate::limits;

/// The variable that marks what we started: `TOKEN:NAME:NUMBER`.
pub(crate) const MARK: &str = "DOORSTEP_UNIT";

/// What `/proc/PID/stat` says (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub state: u8,
    pub parent: u32,
    pub group: u32,
    pub ticks: u64,
    pub start_time: u64,
    pub resident_pages: u64,
}

impl Stat {
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // `fields[0]` is field 3 of the manual.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        parent: u32::try_from(number(4)?).ok()?,
        group: u32::try_from(number(5)?).ok()?,
        ticks: number(14)? + number(15)?,
        start_time: number(22)?,
        resident_pages: number(24)?,
    })
}

/// All processes of this computer that we may see.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The value of our [`MARK`] in a process's environment.
pub(crate) fn mark(pid: u32) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/environ")).ok()?.take(limits::ENVIRON as u64).read_to_end(&mut bytes).ok()?;
    let entry = bytes.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(MARK.as_bytes())?;
        value.strip_prefix(b"=")
    })?;
    String::from_utf8(entry.to_vec()).ok()
}

/// Resident memory in bytes, and processor time, of each process group, by one look at all processes.
pub(crate) fn usage(groups: &[u32]) -> Vec<(u64, Duration)> {
    let page = rustix::param::page_size() as u64;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let mut sums = vec![(0u64, 0u64); groups.len()];
    if !groups.is_empty() {
        for stat in all().filter_map(stat) {
            if let Some(place) = groups.iter().position(|group| *group == stat.group) {
                sums[place].0 += stat.resident_pages * page;
                sums[place].1 += stat.ticks;
            }
        }
    }
    sums.into_iter().map(|(memory, ticks)| (memory, Duration::from_millis(ticks * 1000 / per_second))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest() {
        let text = "7 (a) R 1 (b) S 4 7 7 0 -1 4194560 1 0 0 0 11 5 0 0 20 0 1 0 2345 1000 77 18446744073709551615 1";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.group, stat.ticks), (b'S', 4, 7, 16));
        assert_eq!((stat.start_time, stat.resident_pages), (2345, 77));
        assert_eq!(parse_stat("7 (x"), None);
        assert_eq!(parse_stat("7 (x) S 1"), None);
    }

    #[test]
    fn sees_this_process() {
        let me = std::process::id();
        assert!(all().any(|pid| pid == me));
        assert!(!stat(me).unwrap().is_dead());
        assert!(usage(&[stat(me).unwrap().group])[0].0 > 0);
    }
}
