use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorstep_model::{Blame, Hostname};
use doorstep_proto::tunnel::{Code, Invitation, Purpose, Retry, TunnelError};
use tokio::time::sleep;

use super::dial::{DialError, Dialer, Proxy};
use super::greet::{ConnectFailed, connect};
use crate::identity::{AgentIdentity, AgentKeyPair};
use crate::limits::{JOIN_PAUSE, JOIN_TRIES};

/// Why joining a relay failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("this is not an invitation: {0}")]
    Line(String),
    #[error("{0}")]
    Refused(TunnelError),
    #[error(transparent)]
    Connect(DialError),
    #[error("the relay at {relay} says that its domain is {domain:?}, which is no name")]
    Domain { relay: String, domain: String },
    #[error("this computer gave no random numbers for a key")]
    NoKey,
}

impl JoinError {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Line(_) => Blame::Client,
            Self::Refused(_) | Self::Domain { .. } => Blame::Upstream,
            Self::Connect(error) => error.blame(),
            Self::NoKey => Blame::Environment,
        }
    }

    /// What to do next; may be empty.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Line(_) => "Paste the whole line that `doorstep relay invite` printed.",
            Self::Refused(error) => match error.code {
                Code::InvitationInvalid | Code::InvitationExpired | Code::InvitationUsed => {
                    "Its owner makes one on the relay: `doorstep relay invite NAME`."
                }
                Code::UnknownVersion => "Update the older of the two.",
                _ => "Try again; the invitation is still good.",
            },
            Self::Connect(error) => match error.fix() {
                "" => "Try again; the invitation is still good.",
                fix => fix,
            },
            Self::Domain { .. } => "The relay's owner must correct its domain.",
            Self::NoKey => "",
        }
    }
}

/// Takes the invitation of `line` with a key that is made here. What comes back must be saved; until it is, the same
/// `key` may join by the same invitation again (`None` makes a new one).
///
/// `line` is what `doorstep relay invite` printed: the invitation alone, or the whole command around it.
///
/// # Errors
/// [`JoinError`]. Where the connection broke before the relay answered, it is tried again within this call.
pub async fn join(
    line: &str,
    key: Option<AgentKeyPair>,
    proxy: &Proxy,
    software: &str,
) -> Result<AgentIdentity, JoinError> {
    let (invitation, bytes) = read(line)?;
    let key = key.or_else(AgentKeyPair::generate).ok_or(JoinError::NoKey)?;
    let dialer = Dialer::new(&invitation.relay, None, invitation.pin, proxy.clone()).map_err(JoinError::Connect)?;
    let mut tries = 0;
    let welcome = loop {
        tries += 1;
        let purpose = Purpose::Join { invitation: bytes.clone().into() };
        match connect(&dialer, None, &key, purpose, software).await {
            Ok(greeted) => break greeted.welcome,
            Err(ConnectFailed::Dial(error)) => return Err(JoinError::Connect(error)),
            // The key may have been admitted before the connection broke; the same key is welcome again.
            Err(ConnectFailed::Greeting { error, .. }) if error.code.retry() == Retry::Later && tries < JOIN_TRIES => {
                sleep(JOIN_PAUSE * tries).await;
            }
            Err(ConnectFailed::Greeting { error, .. }) => return Err(JoinError::Refused(error)),
        }
    };
    let domain: Hostname = welcome
        .domain
        .parse()
        .map_err(|_| JoinError::Domain { relay: invitation.relay.clone(), domain: welcome.domain.clone() })?;
    Ok(AgentIdentity { relay: invitation.relay, domain, pin: invitation.pin, name: welcome.agent, key })
}

/// The invitation in a line, and its bytes as they are sent.
///
/// # Errors
/// There is none in it.
pub fn read(line: &str) -> Result<(Invitation, Vec<u8>), JoinError> {
    let word = line.split_whitespace().next_back().unwrap_or_default().trim_matches(['"', '\'']);
    let bytes = URL_SAFE_NO_PAD
        .decode(word.trim_end_matches('='))
        .map_err(|_| JoinError::Line("a part of it is missing or changed".to_owned()))?;
    let invitation = Invitation::decode(&bytes).map_err(|error| JoinError::Line(error.to_string()))?;
    // Whether it has expired, the relay says: this computer's clock may be wrong.
    Ok((invitation, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(expires: u64) -> String {
        let relay = "tun.example.com:443".to_owned();
        let invitation = Invitation { id: [1; 16], expires, pin: Some([2; 32]), relay, mac: [3; 32] };
        URL_SAFE_NO_PAD.encode(invitation.encode())
    }

    #[test]
    fn invitations_in_what_people_paste() {
        let good = line(u64::MAX);
        for text in [good.clone(), format!("  doorstep join {good}\n"), format!("\"{good}\""), format!("{good}==")] {
            let (invitation, bytes) = read(&text).unwrap();
            assert_eq!((invitation.relay.as_str(), invitation.encode().as_ref()), ("tun.example.com:443", &bytes[..]));
        }
        for text in ["", "doorstep join", "a+b/c", &good[..good.len() - 4], "AAAA"] {
            assert!(matches!(read(text), Err(JoinError::Line(_))), "{text}");
        }
        assert!(read(&line(1)).is_ok(), "the relay's clock counts");
    }
}
