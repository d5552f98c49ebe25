//! In which order, and which, of a folder's entries are shown.

use std::cmp::Ordering;

use super::natural;
use super::snapshot::Snapshot;
use crate::limits::MAX_FILTER;
use crate::query::Query;

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    #[default]
    Name,
    Size,
    Date,
}

impl Column {
    pub const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Date];

    /// As in a page's address.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }

    /// Whether the first click on it shows the largest first.
    pub fn starts_descending(self) -> bool {
        self != Self::Name
    }
}

/// A page's wishes: `?sort=size&order=desc&q=word`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub column: Column,
    pub descending: bool,
    /// As typed; empty shows everything.
    pub filter: String,
}

impl View {
    pub fn of(query: &Query) -> Self {
        let column = match query.get("sort") {
            Some("size") => Column::Size,
            Some("date" | "modified" | "time") => Column::Date,
            _ => Column::Name,
        };
        let descending = match query.get("order") {
            Some("desc") => true,
            Some("asc") => false,
            _ => query.has("sort") && column.starts_descending(),
        };
        let filter = query.get("q").unwrap_or_default().trim().chars().take(MAX_FILTER).collect();
        Self { column, descending, filter }
    }

    /// Positions in `snapshot` of what is shown, in order: folders first.
    pub fn apply(&self, snapshot: &Snapshot) -> Vec<u32> {
        let entries = snapshot.entries();
        let mut keys = Vec::with_capacity(entries.len() * 24);
        let mut spans = Vec::with_capacity(entries.len());
        for entry in entries {
            let start = keys.len();
            natural::push_key(&String::from_utf8_lossy(snapshot.name(entry)), &mut keys);
            spans.push(start..keys.len());
        }
        let by_name = |a: u32, b: u32| {
            let (a, b) = (a as usize, b as usize);
            keys[spans[a].clone()]
                .cmp(&keys[spans[b].clone()])
                .then_with(|| snapshot.name(&entries[a]).cmp(snapshot.name(&entries[b])))
        };
        let mut order = self.matching(snapshot);
        order.sort_unstable_by(|&a, &b| {
            let (left, right) = (&entries[a as usize], &entries[b as usize]);
            let folders_first = right.folder.cmp(&left.folder);
            let by_column = match self.column {
                Column::Name => by_name(a, b),
                Column::Size if left.folder => Ordering::Equal,
                Column::Size => left.size.cmp(&right.size),
                Column::Date => left.modified.cmp(&right.modified),
            };
            let by_column = if self.descending { by_column.reverse() } else { by_column };
            folders_first.then(by_column).then_with(|| by_name(a, b))
        });
        order
    }

    fn matching(&self, snapshot: &Snapshot) -> Vec<u32> {
        let folded = natural::fold(&self.filter);
        let words: Vec<&str> = folded.split_whitespace().collect();
        let all = snapshot.entries().iter().zip(0..);
        if words.is_empty() {
            return all.map(|(_, at)| at).collect();
        }
        all.filter(|(entry, _)| {
            let name = natural::fold(&String::from_utf8_lossy(snapshot.name(entry)));
            words.iter().all(|word| name.contains(word))
        })
        .map(|(_, at)| at)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &str) -> Vec<String> {
        let snapshot = Snapshot::of(&[
            ("b.txt", false, 10, 300),
            ("old", true, 9999, 100),
            ("a10.txt", false, 30, 100),
            ("a9.txt", false, 20, 200),
            ("New", true, 1, 400),
        ]);
        let view = View::of(&Query::of(&target.parse().unwrap()));
        let order = view.apply(&snapshot);
        order
            .iter()
            .map(|at| String::from_utf8_lossy(snapshot.name(&snapshot.entries()[*at as usize])).into())
            .collect()
    }

    #[test]
    fn folders_come_first_and_names_are_natural() {
        assert_eq!(shown("/"), ["New", "old", "a9.txt", "a10.txt", "b.txt"]);
        assert_eq!(shown("/?sort=name&order=desc"), ["old", "New", "b.txt", "a10.txt", "a9.txt"]);
    }

    #[test]
    fn size_and_date_sort_both_ways() {
        assert_eq!(shown("/?sort=size&order=asc"), ["New", "old", "b.txt", "a9.txt", "a10.txt"]);
        assert_eq!(shown("/?sort=size"), ["New", "old", "a10.txt", "a9.txt", "b.txt"]);
        assert_eq!(shown("/?sort=date&order=desc"), ["New", "old", "b.txt", "a9.txt", "a10.txt"]);
        assert_eq!(shown("/?sort=nonsense&order=sideways"), shown("/"));
    }

    #[test]
    fn the_filter_needs_every_word() {
        assert_eq!(shown("/?q=TXT+1"), ["a10.txt"]);
        assert_eq!(shown("/?q=n%C3%A9w"), ["New"]);
        assert!(shown("/?q=zzz").is_empty());
    }
}
