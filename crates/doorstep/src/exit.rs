use std::process::ExitCode;
use std::{fmt, io};

/// How the program ends, for whoever started it. Documented in `docs/exit-codes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A failure without a better word.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// The target cannot be shared.
    Target = 3,
    /// The address cannot be listened on.
    Listen = 4,
    /// The configuration file cannot be read or has errors.
    Configuration = 5,
    /// Closed at once by a second Ctrl-C: 128 + SIGINT, as shells expect.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why doorstep cannot do what was asked, in words for a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    /// What happened.
    pub what: String,
    /// The reason, if `what` does not say it. May be empty.
    pub why: String,
    /// What to do next. May be empty.
    pub fix: String,
}

impl Failure {
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), why: String::new(), fix: String::new() }
    }

    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for line in [&self.why, &self.fix].into_iter().filter(|line| !line.is_empty()) {
            for part in line.lines() {
                write!(f, "\n  {part}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The system's reason in words, without its number: nobody looks that up.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_words() {
        assert_eq!(cause(&io::Error::from_raw_os_error(13)), "Permission denied");
        assert_eq!(cause(&io::Error::other("the dog ate it")), "the dog ate it");
    }

    #[test]
    fn reads_from_what_to_what_next() {
        let failure = Failure::new(Code::Listen, "port 8080 is taken").because("by nginx").fix("try --port 8081");
        assert_eq!(failure.to_string(), "port 8080 is taken\n  by nginx\n  try --port 8081");
        assert_eq!(Failure::new(Code::Failed, "gone").to_string(), "gone");
    }
}
