use http::HeaderValue;

use crate::limits::{MAX_PARTIAL_FILES, MAX_PARTS};

/// Which part of a file a response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, of this length where it is known.
    Whole(Option<u64>),
    /// Bytes `start..end` of `total`.
    Range { start: u64, end: u64, total: u64 },
}

impl Part {
    /// Reads `bytes 0-499/1234` (RFC 9110 section 14.4).
    pub(super) fn of_content_range(value: &HeaderValue) -> Option<Self> {
        let (range, total) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, end, total) = (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, total.parse().ok()?);
        (start < end && end <= total).then_some(Self::Range { start, end, total })
    }
}

/// Which parts of which files arrived.
#[derive(Default)]
pub(super) struct Parts(Vec<PartialFile>);

struct PartialFile {
    path: String,
    total: u64,
    /// Sorted, apart from each other.
    have: Vec<(u64, u64)>,
}

impl Parts {
    /// Notes that `sent` bytes of `part` arrived; whether the file is whole now.
    pub(super) fn add(&mut self, path: &str, part: Part, sent: u64) -> bool {
        let (start, end, total) = match part {
            Part::Whole(None) => return false,
            Part::Whole(Some(total)) => (0, total, total),
            Part::Range { start, end, total } => (start, end, total),
        };
        let end = end.min(start.saturating_add(sent));
        // A file of another length is another file under the same name.
        let known = self.0.iter().position(|file| file.path == path && file.total == total);
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= MAX_PARTIAL_FILES {
                self.0.remove(0);
            }
            self.0.push(PartialFile { path: path.to_owned(), total, have: Vec::new() });
            self.0.len() - 1
        });
        self.0.get_mut(at).is_some_and(|file| file.add(start, end))
    }
}

impl PartialFile {
    fn add(&mut self, start: u64, end: u64) -> bool {
        if start < end {
            let apart = |have: &(u64, u64)| have.1 < start || have.0 > end;
            let (mut start, mut end) = (start, end);
            for (from, to) in self.have.iter().filter(|have| !apart(have)) {
                (start, end) = (start.min(*from), end.max(*to));
            }
            self.have.retain(|(from, to)| *to < start || *from > end);
            if self.have.len() < MAX_PARTS {
                let place = self.have.partition_point(|(from, _)| *from < start);
                self.have.insert(place, (start, end));
            }
        }
        self.have.first() == Some(&(0, self.total))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_ranges() {
        let parse = |text: &'static str| Part::of_content_range(&HeaderValue::from_static(text));
        assert_eq!(parse("bytes 0-499/1234"), Some(Part::Range { start: 0, end: 500, total: 1234 }));
        for bad in
            ["bytes */1234", "bytes 0-499/*", "bytes 5-4/9", "bytes 0-9/9", "bytes 0-18446744073709551615/1", "x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_broken_download_and_its_rest_are_whole() {
        let mut parts = Parts::default();
        assert!(!parts.add("/a", Part::Whole(Some(100)), 60));
        assert!(!parts.add("/b", Part::Range { start: 60, end: 100, total: 100 }, 40));
        assert!(!parts.add("/a", Part::Range { start: 60, end: 100, total: 101 }, 40));
        assert!(!parts.add("/a", Part::Range { start: 61, end: 100, total: 100 }, 39));
        assert!(parts.add("/a", Part::Range { start: 60, end: 100, total: 100 }, 1));
    }

    #[test]
    fn bounded() {
        let mut parts = Parts::default();
        for n in 0..1000 {
            parts.add(&format!("/{n}"), Part::Whole(Some(9)), 1);
            parts.add("/one", Part::Range { start: n * 2, end: n * 2 + 1, total: 9999 }, 1);
        }
        assert!(parts.0.len() <= MAX_PARTIAL_FILES && parts.0.iter().all(|file| file.have.len() <= MAX_PARTS));
    }

    proptest! {
        #[test]
        fn agrees_with_counting_bytes(ranges in prop::collection::vec((0u64..40, 1u64..20, 0u64..20), 1..30)) {
            let (mut parts, mut seen) = (Parts::default(), [false; 40]);
            for (start, length, sent) in ranges {
                let end = (start + length).min(40);
                let whole = parts.add("/", Part::Range { start, end, total: 40 }, sent);
                for byte in start..end.min(start + sent) {
                    seen[byte as usize] = true;
                }
                prop_assert_eq!(whole, seen.iter().all(|seen| *seen));
            }
        }
    }
}
