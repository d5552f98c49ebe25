//! What people are told.

use doorstep_proto::tunnel::{Code, Retry, TunnelError};

use super::greet::ConnectFailed;
use super::session::Ended;

/// Why there is no session; and the relay's refusal, if trying again would end the same way.
pub(super) fn failure(ended: &Ended) -> (String, Option<TunnelError>) {
    let error = match ended {
        Ended::Connect(ConnectFailed::Dial(error)) => {
            let why = match error.fix() {
                "" => without_number(&error.to_string()),
                fix => format!("{}. {fix}", without_number(&error.to_string())),
            };
            return (why, None);
        }
        Ended::Connect(ConnectFailed::Greeting { error, .. }) | Ended::Closed(error) => error,
    };
    let fatal = (error.code.retry() == Retry::Never).then(|| error.clone());
    (error.to_string(), fatal)
}

/// The number of an error of the system tells people nothing that its words do not.
fn without_number(words: &str) -> String {
    match words.split_once(" (os error ") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => words.to_owned(),
    }
}

/// What to do about a refusal for good.
pub(super) fn fix(code: Code) -> &'static str {
    match code {
        Code::Evicted => {
            "The same key is in use by another doorstep, on this computer or on another one. Give each computer an invitation of its own (`doorstep relay invite`), and each share on one computer a name of its own."
        }
        Code::UnknownKey | Code::RevokedKey => "Then run `doorstep join --replace …` with its line.",
        Code::Replayed => "Use a network that does not decrypt HTTPS.",
        Code::UnknownVersion => "Update doorstep, here or on the relay.",
        Code::NameTaken | Code::NameNotAllowed | Code::BadName => "Choose another name.",
        Code::PortTaken | Code::PortNotAllowed => "Choose another port, or 0 for any.",
        Code::TooManyNames | Code::TooManyPorts => "Lend less, or ask the relay's owner for more.",
        Code::Withdrawn => "Ask the relay's owner why.",
        _ => "Ask the relay's owner.",
    }
}
