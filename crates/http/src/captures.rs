use std::sync::Arc;

/// What the variable parts of a route's path stood for. Empty, and without memory, where the path has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    groups: Vec<Box<str>>,
    names: Names,
}

/// Each name with its group's number.
type Names = Option<Arc<[(Box<str>, usize)]>>;

impl Captures {
    /// The groups of a match, without the whole; a group that took no part is empty. `names` says which number a name has.
    pub fn of(found: &regex::Captures<'_>, names: &GroupNames) -> Self {
        let groups = found.iter().skip(1).map(|group| group.map_or("", |group| group.as_str()).into()).collect();
        Self { groups, names: names.0.clone() }
    }

    /// Group `number`, counted from 1; empty where there is none.
    pub fn number(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|at| self.groups.get(at)).map_or("", |text| text)
    }

    /// The group of this name; empty where there is none.
    pub fn name(&self, name: &str) -> &str {
        let names = self.names.as_deref().unwrap_or_default();
        names.iter().find(|(known, _)| **known == *name).map_or("", |(_, number)| self.number(*number))
    }
}

/// The named groups of a regular expression, shared by all its matches.
#[derive(Clone, Debug, Default)]
pub struct GroupNames(Names);

impl GroupNames {
    pub fn of(regex: &regex::Regex) -> Self {
        let names: Vec<(Box<str>, usize)> = regex
            .capture_names()
            .enumerate()
            .filter_map(|(number, name)| name.map(|name| (name.into(), number)))
            .collect();
        Self((!names.is_empty()).then(|| names.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        let regex = regex::Regex::new("^/(?P<year>[0-9]+)/(x)?(.*)$").unwrap();
        let captures = Captures::of(&regex.captures("/2024/post").unwrap(), &GroupNames::of(&regex));
        assert_eq!((captures.number(1), captures.number(2), captures.number(3)), ("2024", "", "post"));
        assert_eq!((captures.name("year"), captures.name("month")), ("2024", ""));
        assert_eq!((captures.number(0), captures.number(9)), ("", ""));
    }
}
