//! What people are told of what a relay says.

use doorstep_model::{Blame, Finding, Severity};
use doorstep_proto::tunnel::{Code, Retry, TunnelError};

use crate::outside::is_direct;

/// Something is not lent.
pub fn refused(via: &str, why: &TunnelError) -> Finding {
    Finding {
        severity: if why.code.retry() == Retry::Never { Severity::Error } else { Severity::Warning },
        blame: Blame::Upstream,
        id: "tunnel-refused",
        what: format!("{via} does not lend it: {why}."),
        why: String::new(),
        fix: fix(why.code).to_owned(),
    }
}

/// Words from the other side.
pub fn notice(via: &str, text: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        blame: Blame::Upstream,
        id: "tunnel-notice",
        what: if is_direct(via) { text.to_owned() } else { format!("{via} says: {text}") },
        why: String::new(),
        fix: String::new(),
    }
}

/// The one thing to do next; may be empty.
fn fix(code: Code) -> &'static str {
    match code {
        Code::NameTaken => "Take another: `--name`, or `tunnel = \"NAME\"` of the site.",
        Code::NameNotAllowed => "Take one that the invitation allows, or ask the relay's owner for another invitation.",
        Code::NameUnproven => "Add the record in the DNS. It is looked up again by itself.",
        Code::BadName => "Names have letters, digits and `-`.",
        Code::TooManyNames | Code::TooManyPorts => "Lend less, or ask the relay's owner for more.",
        Code::PortTaken | Code::PortNotAllowed => "Leave the port out to get one that is free.",
        Code::SwitchedOff => "Ask the relay's owner why. It is lent again by itself when it is switched on.",
        Code::Withdrawn => "Ask the relay's owner why.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let finding = refused("tun.example.com", &TunnelError::from(Code::NameTaken));
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.what.contains("belongs to somebody else"), "{}", finding.what);
        assert!(finding.fix.contains("--name"));
        assert_eq!(refused("x", &TunnelError::from(Code::NameUnproven)).severity, Severity::Warning);
    }
}
