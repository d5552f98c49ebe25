//! Headings, times and the summary of a run that has several parts.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The parts that ran, in order. A failed part does not stop the ones after it, so that one run shows everything.
pub struct Report {
    began: Instant,
    parts: Vec<Part>,
    skipped: Vec<String>,
}

struct Part {
    name: String,
    took: Duration,
    error: Option<String>,
}

impl Report {
    pub fn new() -> Self {
        Self { began: Instant::now(), parts: Vec::new(), skipped: Vec::new() }
    }

    /// Runs one part under a heading. Gives its value, or nothing when it failed.
    pub fn part<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n━━ {name}");
        let began = Instant::now();
        let result = work();
        let took = began.elapsed();
        let error = result.as_ref().err().map(|error| format!("{error:#}"));
        match &error {
            None => println!("━━ {name}: ok, {}", in_words(took)),
            Some(error) => println!("━━ {name}: FAILED after {}: {error}", in_words(took)),
        }
        self.parts.push(Part { name: name.to_owned(), took, error });
        result.ok()
    }

    /// Notes, for the summary, something that did not run.
    pub fn skip(&mut self, what: String) {
        self.skipped.push(what);
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When any part failed.
    pub fn finish(self) -> Result<()> {
        println!("\n━━ Summary");
        for part in &self.parts {
            let mark = if part.error.is_none() { "ok    " } else { "FAILED" };
            println!("  {mark}  {:<44} {:>9}", part.name, in_words(part.took));
        }
        for what in &self.skipped {
            println!("  skipped: {what}");
        }
        let failed: Vec<&str> =
            self.parts.iter().filter(|part| part.error.is_some()).map(|p| p.name.as_str()).collect();
        let took = in_words(self.began.elapsed());
        if !failed.is_empty() {
            bail!("{} of {} parts failed in {took}: {}", failed.len(), self.parts.len(), failed.join(", "));
        }
        let skipped =
            if self.skipped.is_empty() { "nothing skipped".into() } else { format!("{} skipped", self.skipped.len()) };
        println!("\nAll {} parts passed in {took}, {skipped}.", self.parts.len());
        Ok(())
    }
}

fn in_words(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}
