use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Where what was published is remembered from one run to the next. May block.
pub trait Memory: Send + Sync {
    /// What was saved last.
    fn load(&self) -> Option<String>;

    /// # Errors
    /// It could not be kept. What is not remembered is found out again by asking the zone's servers.
    fn save(&self, text: &str) -> io::Result<()>;
}

/// What is known of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Zone file's words: `A 192.0.2.1`.
    pub values: Vec<String>,
    /// Seconds since 1970.
    pub at: i64,
}

/// All names, in one text.
pub(super) struct Remembered {
    memory: Arc<dyn Memory>,
    names: Mutex<Option<BTreeMap<String, Known>>>,
}

impl Remembered {
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        Self { memory, names: Mutex::new(None) }
    }

    pub fn get(&self, name: &str) -> Known {
        self.with(|names| names.get(name).cloned().unwrap_or_default())
    }

    /// May block.
    pub fn put(&self, name: &str, known: Known) {
        let text = self.with(|names| {
            names.insert(name.to_owned(), known);
            serde_json::to_string_pretty(names).unwrap_or_default()
        });
        // Forgotten, it is asked for again.
        let _ = self.memory.save(&text);
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Known>) -> T) -> T {
        let mut names = self.names.lock();
        let load = || {
            // A text that cannot be read is none: everything in it can be found out again.
            self.memory.load().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
        };
        look(names.get_or_insert_with(load))
    }
}
