use std::fmt;

/// What went wrong, as a number on the wire (CLOSE, DENIED and RESET frames).
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $retry:ident, $text:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A code of a later version.
            Other(u16),
        }

        impl Code {
            /// Every code that this version knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Other(number) => number,
                }
            }

            pub fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$name,)*
                    other => Self::Other(other),
                }
            }

            /// What it means, for people on both sides.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(_) => "the other side gives a reason that this version of doorstep does not know; update doorstep",
                }
            }

            /// What an agent does about it.
            pub fn retry(self) -> Retry {
                match self {
                    $(Self::$name => Retry::$retry,)*
                    Self::Other(_) => Retry::Later,
                }
            }
        }
    };
}

/// What an agent does after its session ended, or after a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Connect again (another relay first, if there is one), with back-off.
    Later,
    /// Trying again would end the same way: somebody has to do something first.
    Never,
}

codes! {
    /// Not a fault: the session or stream is over.
    Done = 0, Later, "closed";
    Malformed = 1, Later, "the other side sent bytes that are not the tunnel protocol";
    Oversized = 2, Later, "the other side sent a frame larger than the tunnel protocol allows";
    UnknownFrame = 3, Later, "the other side sent a frame that this version of doorstep does not know";
    UnknownVersion = 4, Never, "agent and relay speak no common version of the tunnel protocol; update the older of the two";
    Unexpected = 5, Later, "the other side sent a frame where it does not belong";
    FlowControl = 6, Later, "the other side sent more than it was allowed to";
    TooMuch = 7, Later, "the other side asks for more at once than this side can hold";
    Silent = 8, Later, "nothing came from the other side for 9 seconds; the path is dead";
    GreetingTimeout = 9, Later, "the other side did not finish its greeting within 10 seconds";
    Stalled = 10, Later, "the other side reads nothing, so the connection was given up to end its stream";
    /// The peer closed the connection without a word.
    Lost = 11, Later, "the connection broke";
    WrongKey = 20, Never, "the agent's signature does not match its key";
    Replayed = 21, Never, "the agent's proof was made for another connection: something between agent and relay replays it or decrypts TLS";
    UnknownKey = 22, Never, "the relay does not know this agent's key; ask for an invitation (`doorstep relay invite`) and join with it";
    RevokedKey = 23, Never, "this agent's key was revoked on the relay; ask for a new invitation";
    InvitationInvalid = 24, Never, "the relay did not make this invitation; copy the whole line, or ask for another one";
    InvitationExpired = 25, Never, "this invitation has expired; ask for another one";
    InvitationUsed = 26, Never, "this invitation was used before; ask for another one";
    UnknownSession = 27, Later, "the relay does not know the session that this data connection belongs to";
    Evicted = 28, Never, "a newer session with the same key took over";
    TooManyConns = 29, Later, "the session has all the data connections that it may have";
    NoProber = 30, Never, "this relay does not look from outside whether an agent can be reached";
    NameTaken = 40, Never, "this name belongs to somebody else; choose another one";
    NameNotAllowed = 41, Never, "the invitation does not allow this name";
    NameUnproven = 42, Later, "the relay found no DNS record that proves that this domain is yours";
    TooManyNames = 43, Never, "the agent has all the names that it may have";
    PortTaken = 44, Never, "this port is in use on the relay";
    PortNotAllowed = 45, Never, "the relay does not lend this port";
    TooManyPorts = 46, Never, "the agent has all the ports that it may have";
    BadName = 47, Never, "this is not a host name";
    LeaseExpired = 48, Later, "the lease ran out";
    Withdrawn = 49, Never, "the relay's owner took this name or port back";
    NotWritten = 50, Later, "the relay could not write this down, so it does not promise it; its owner can see why";
    SwitchedOff = 51, Later, "the relay's owner has switched this name off";
    UnknownClaim = 60, Later, "the stream is for a name or port that this agent did not claim";
    DialRefused = 61, Later, "the app does not take connections";
    DialTimeout = 62, Later, "the app does not answer";
    DialForbidden = 63, Never, "the agent may not open connections to this address";
    TooManyStreams = 64, Later, "too many connections are open at once";
    StreamReset = 65, Later, "the connection was reset";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Why a connection, a claim or a greeting ended: found by this side, or told by the other one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}{}", if detail.is_empty() { String::new() } else { format!(" ({detail})") })]
pub struct TunnelError {
    pub code: Code,
    /// Particulars, for people; may be empty.
    pub detail: String,
}

impl TunnelError {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<Code> for TunnelError {
    fn from(code: Code) -> Self {
        Self { code, detail: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_number_and_its_own_words() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), *code);
        }
        assert_eq!(Code::from_number(9999), Code::Other(9999));
    }
}
