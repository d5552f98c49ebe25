use std::collections::HashMap;
use std::sync::Arc;

/// What route tables are made of, by what it was made from: what belongs to the table in force, and to the next one.
pub struct Kept<S> {
    now: HashMap<String, Arc<S>>,
    next: HashMap<String, Arc<S>>,
}

impl<S> Kept<S> {
    /// Another table is begun; an earlier one that did not come into force is forgotten.
    pub fn begin(&mut self) {
        self.next.clear();
    }

    /// The one that there is already, else a new one.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get(&mut self, key: &str, make: impl FnOnce() -> anyhow::Result<Arc<S>>) -> anyhow::Result<Arc<S>> {
        let service = match self.known(key) {
            Some(service) => service,
            None => make()?,
        };
        self.keep(key, service.clone());
        Ok(service)
    }

    pub fn known(&self, key: &str) -> Option<Arc<S>> {
        self.next.get(key).or_else(|| self.now.get(key)).cloned()
    }

    /// For the table that is being made.
    pub fn keep(&mut self, key: &str, service: Arc<S>) {
        self.next.insert(key.to_owned(), service);
    }

    /// Whether the table that is being made has it already.
    pub fn has(&self, key: &str) -> bool {
        self.next.contains_key(key)
    }

    /// The table made last is in force: what only the one before needed goes.
    pub fn settle(&mut self) {
        self.now = std::mem::take(&mut self.next);
    }
}

impl<S> Default for Kept<S> {
    fn default() -> Self {
        Self { now: HashMap::new(), next: HashMap::new() }
    }
}
