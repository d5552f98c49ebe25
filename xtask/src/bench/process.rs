//! What a process and its children use, from /proc (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks per second of the times in /proc: USER_HZ, which is 100 on every Linux that Debian runs on.
const TICKS: u64 = 100;

/// CPU time, user and system, of a process and all its children so far, those that have ended included.
#[derive(Clone, Copy)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// # Errors
    /// When the process has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let spent = |&pid: &u32| {
            let stat = format!("/proc/{pid}/stat");
            Some(cpu_time(&stat, OWN).ok()? + cpu_time(&stat, ENDED).ok()?)
        };
        Ok(Self(family(pid)?.iter().filter_map(spent).sum()))
    }

    /// Of all children of ours that have ended, and theirs: what a command took, if it is asked before and after.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn of_ended_children() -> Result<Self> {
        Ok(Self(cpu_time("/proc/self/stat", ENDED)?))
    }

    pub fn total(self) -> Duration {
        self.0
    }

    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// CPU time so far of each thread of a process and its children, by thread id.
///
/// # Errors
/// When the process has ended.
pub fn threads(pid: u32) -> Result<BTreeMap<u32, Duration>> {
    let mut times = BTreeMap::new();
    for pid in family(pid)? {
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = entry?.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Ok(time) = cpu_time(&format!("/proc/{pid}/task/{thread}/stat"), OWN) {
                times.insert(thread, time);
            }
        }
    }
    Ok(times)
}

/// Resident memory in bytes of a process and all its children.
///
/// # Errors
/// When the process has ended.
pub fn resident(pid: u32) -> Result<u64> {
    let kilobytes = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Ok(family(pid)?.iter().filter_map(kilobytes).sum::<u64>() * 1024)
}

/// Proportional set size in bytes of each process of a family, the oldest first: resident memory, in which a page that
/// several processes have counts to each of them in part (smaps_rollup in proc_pid_smaps(5)).
///
/// # Errors
/// When a process has ended, or belongs to somebody else.
pub fn proportional(pid: u32) -> Result<Vec<u64>> {
    let of = |pid: u32| -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("the memory of process {pid} cannot be seen"))?;
        let line = text.lines().find(|line| line.starts_with("Pss:")).context("odd smaps_rollup")?;
        Ok(line.split_whitespace().nth(1).context("odd smaps_rollup")?.parse::<u64>()? * 1024)
    };
    family(pid)?.into_iter().map(of).collect()
}

/// Programs that wanted to run, on average over the last minute (proc_loadavg(5)).
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|figure| figure.parse().ok()).unwrap_or_default()
}

/// A process and all its descendants.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        if let Some(parent) = fields(&stat).and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
            parents.insert(pid, parent);
        }
    }
    parents.get(&pid).with_context(|| format!("process {pid} has ended"))?;
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

/// Where /proc/…/stat has the times of a process itself, and where those of its children that have ended.
const OWN: [usize; 2] = [11, 12];
const ENDED: [usize; 2] = [13, 14];

fn cpu_time(stat: &str, at: [usize; 2]) -> Result<Duration> {
    let text = fs::read_to_string(stat)?;
    let fields = fields(&text).context("odd stat line")?;
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("short stat line")?.parse()?) };
    Ok(Duration::from_millis((ticks(at[0])? + ticks(at[1])?) * 1000 / TICKS))
}

/// The fields after the program's name, which may itself have spaces and parentheses: state, parent, …
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process() {
        let me = std::process::id();
        assert!(resident(me).unwrap() > 100_000);
        assert!(proportional(me).unwrap()[0] > 100_000);
        assert!(threads(me).unwrap().contains_key(&me));
        assert!(CpuTime::of(u32::MAX).is_err());
    }

    #[test]
    fn names_with_parentheses() {
        assert_eq!(fields("7 (a) b) S 1 2").unwrap(), ["S", "1", "2"]);
    }
}
