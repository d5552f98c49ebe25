use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Whether clap's "error" is help or a version that the user asked for.
pub fn shows_help(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// What is wrong with the command line, where we can say it better than clap: a misspelt verb, or a target without one.
pub fn explain(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let rest = |verb: &str| {
        let shown: Vec<String> = arguments.iter().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
        let words = if verb == "share" && looks_like_target(word) { &shown[..] } else { shown.get(1..).unwrap_or(&[]) };
        std::iter::once(format!("doorstep {verb}")).chain(words.iter().cloned()).collect::<Vec<_>>().join(" ")
    };
    if looks_like_target(word) {
        return Some(format!("to share {word}, say so\n\n  {}", rest("share")));
    }
    if arguments.get(1).is_some_and(|first| first == "relay") {
        return Some(format!(
            "`doorstep relay` has no command {word:?}\n\n  doorstep relay --help shows what there is"
        ));
    }
    let command = super::Cli::command();
    let near = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .max_by(|a, b| strsim::jaro_winkler(a, word).total_cmp(&strsim::jaro_winkler(b, word)));
    match near.filter(|verb| strsim::damerau_levenshtein(verb, word) <= 2 || strsim::jaro_winkler(verb, word) > 0.8) {
        Some(verb) => Some(format!("there is no command {word:?}. Did you mean\n\n  {}", rest(verb))),
        None => Some(format!("there is no command {word:?}\n\n  doorstep --help shows what there is")),
    }
}

fn looks_like_target(word: &str) -> bool {
    word.contains("://")
        || word.contains('/')
        || word.rsplit(':').next().is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        || word == "-"
        || Path::new(word).exists()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn explained(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        explain(&Cli::try_parse_from(&words).unwrap_err(), &words)
    }

    #[test]
    fn misspelt_verbs_and_bare_targets() {
        assert_eq!(
            explained("doorstep shrae photos --tls").unwrap(),
            "there is no command \"shrae\". Did you mean\n\n  doorstep share photos --tls"
        );
        assert_eq!(explained("doorstep 8000").unwrap(), "to share 8000, say so\n\n  doorstep share 8000");
        assert_eq!(
            explained("doorstep :8000 --tls").unwrap(),
            "to share :8000, say so\n\n  doorstep share :8000 --tls"
        );
        assert_eq!(
            explained("doorstep frobnicate").unwrap(),
            "there is no command \"frobnicate\"\n\n  doorstep --help shows what there is"
        );
        assert!(explained("doorstep relay frob").unwrap().contains("doorstep relay --help"));
        assert_eq!(explained("doorstep share --prot 1"), None);
    }
}
