//! The file as a tree in which everything knows its place, and which keys somebody asked for.

use std::cell::Cell;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A stretch of one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
    /// Does not have the form that its key asks for; reported, and as good as absent from then on.
    pub(crate) bad: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(Text),
    Integer(i64),
    Float,
    Bool(bool),
    /// Dates, and numbers that are too large: nothing takes these.
    Other(&'static str),
    List(Vec<Node>),
    Table(Table),
}

/// A string as it stands in the file, and with its variables filled in.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) raw: String,
    pub(crate) filled: Option<String>,
}

impl Text {
    pub(crate) fn get(&self) -> &str {
        self.filled.as_deref().unwrap_or(&self.raw)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
    /// Somebody made something of it. A key that is accepted and then ignored would be a lie.
    pub(crate) used: Cell<bool>,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) if !self.bad => Some(text.get()),
            _ => None,
        }
    }

    /// What the file says, for messages: variables are not filled in.
    pub(crate) fn raw(&self) -> &str {
        match &self.value {
            Value::Text(text) => &text.raw,
            _ => "",
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self.value {
            Value::Integer(number) if !self.bad => Some(number),
            _ => None,
        }
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) if !self.bad => Some(value),
            _ => None,
        }
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) if !self.bad => Some(table),
            _ => None,
        }
    }

    /// The elements of a list, or the value itself as the only one.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Node> {
        let nodes = match &self.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(self),
        };
        nodes.iter().filter(|node| !node.bad)
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a number",
            Value::Float => "a number with a fraction",
            Value::Bool(true) => "`true`",
            Value::Bool(false) => "`false`",
            Value::Other(name) => name,
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Table {
    /// Whether the key is there, well-formed or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        entry.used.set(true);
        Some(entry)
    }

    /// The well-formed value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node).filter(|node| !node.bad)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.bool()
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        self.get(key)?.integer()
    }

    pub(crate) fn table(&self, key: &str) -> Option<&Table> {
        self.get(key)?.table()
    }

    /// Elements of a list under `key`, or its only value.
    pub(crate) fn each(&self, key: &str) -> impl Iterator<Item = &Node> {
        self.get(key).into_iter().flat_map(Node::each)
    }

    /// The texts among [`Table::each`].
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        self.each(key).filter_map(Node::text).map(str::to_owned).collect()
    }

    /// All entries with well-formed values, as of a table whose keys are names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.node.bad).inspect(|entry| entry.used.set(true))
    }
}

impl Table {
    /// A key that was accepted and that nobody asked for: a mistake in this crate.
    pub(crate) fn unused(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| if entry.used.get() { entry.node.unused() } else { Some(&*entry.key) })
    }
}

impl Node {
    fn unused(&self) -> Option<&str> {
        match &self.value {
            Value::Table(table) => table.unused(),
            Value::List(nodes) => nodes.iter().find_map(Node::unused),
            _ => None,
        }
    }
}

/// The tree of a whole file, number `file`.
pub(crate) fn grow(table: &DeTable<'_>, file: usize) -> Table {
    let entries = table.iter().map(|(key, value)| Entry {
        key: key.get_ref().to_string(),
        place: Place { file, span: key.span() },
        node: Node { place: Place { file, span: value.span() }, value: value_of(value.get_ref(), file), bad: false },
        used: Cell::new(false),
    });
    Table { entries: entries.collect() }
}

fn value_of(value: &DeValue<'_>, file: usize) -> Value {
    match value {
        DeValue::String(text) => Value::Text(Text { raw: text.to_string(), filled: None }),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number beyond all bounds"),
        },
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(nodes) => Value::List(
            nodes
                .iter()
                .map(|node| Node {
                    place: Place { file, span: node.span() },
                    value: value_of(node.get_ref(), file),
                    bad: false,
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(grow(table, file)),
    }
}
