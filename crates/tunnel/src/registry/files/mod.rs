//! The memory on the disk, in files that people can read and, while the relay is stopped, edit. Errors are a place in the
//! text and what is wrong there.

pub(super) mod agents;
mod moment;
pub(super) mod names;

use toml::Spanned;

/// A byte of the text, and what is wrong there.
pub(super) type Fault = (usize, String);

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    toml::from_str(text).map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))
}

fn at<T>(value: &Spanned<T>) -> usize {
    value.span().start
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<T: AsRef<str>>(texts: &[T]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", "))
}
