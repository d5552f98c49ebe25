use std::io;

use doorstep_model::Blame;
use doorstep_proto::gateway::{natpmp, pcp};

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("this computer has no way to the internet, so there is no router to ask")]
    NoGateway,
    #[error("the router answers neither UPnP nor NAT-PMP nor PCP")]
    Silent,
    #[error("the router did not answer")]
    TimedOut,
    #[error("the router could not be asked: {0}")]
    Io(#[from] io::Error),
    #[error("the router's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("the router refused: {0}")]
    NatPmp(#[from] natpmp::Refusal),
    #[error("the router refused: {0}")]
    Pcp(#[from] pcp::Refusal),
    /// Errors of UPnP's control protocol, with their numbers.
    #[error("the router refused: {}", upnp_words(*.code, .words))]
    Upnp { code: u16, words: String },
    #[error("port {port} is taken by {holder}")]
    Taken { port: u16, holder: String },
    #[error("the router opens no IPv6 ports on request")]
    NoPinholes,
    #[error("the mapping belongs to {0}")]
    NotOurs(String),
    #[error("the change could not be written down first: {0}")]
    Journal(io::Error),
}

impl GatewayError {
    pub fn blame(&self) -> Blame {
        Blame::Environment
    }

    /// Whether the router has no address on the internet itself: there is another router, or the provider's, in front of it.
    pub fn is_behind_another(&self) -> bool {
        match self {
            Self::NatPmp(natpmp::Refusal::NetworkFailure) => true,
            Self::Pcp(refusal) => refusal.code == pcp::ResultCode::NetworkFailure,
            // What miniupnpd says when its own address is private or shared.
            Self::Upnp { code, .. } => *code == 501,
            _ => false,
        }
    }

    /// Whether the router heard and said no, so that asking again soon is of no use.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NatPmp(_) | Self::Pcp(_) | Self::Upnp { .. } | Self::Taken { .. } | Self::NoPinholes)
    }

    /// The one thing to do next.
    pub fn fix(&self) -> String {
        match self {
            Self::NoGateway => "Connect to a network.".to_owned(),
            Self::Silent => "Switch on UPnP (or NAT-PMP) in the router's settings, or forward the port there by hand.".to_owned(),
            error if error.is_behind_another() => {
                "The router has no address of its own on the internet. Ask the provider for a public IPv4 address, or use a relay (`--via`)."
                    .to_owned()
            }
            Self::NatPmp(natpmp::Refusal::NotAuthorized) => "Allow port mappings in the router's settings.".to_owned(),
            Self::Pcp(refusal) if refusal.code == pcp::ResultCode::NotAuthorized => {
                "Allow port mappings in the router's settings.".to_owned()
            }
            Self::Upnp { code: 606, .. } => "Allow UPnP port mappings for this computer in the router's settings.".to_owned(),
            Self::Upnp { code: 728, .. } | Self::NatPmp(natpmp::Refusal::OutOfResources) => {
                "Remove mappings that nobody needs in the router's settings, or restart the router.".to_owned()
            }
            Self::Taken { .. } => "Choose another port.".to_owned(),
            Self::NoPinholes => "Allow the port for this computer in the IPv6 firewall of the router by hand.".to_owned(),
            Self::Journal(_) => "Make room on the disk, or mend the permissions of doorstep's state folder.".to_owned(),
            _ => "Restart the router if this goes on.".to_owned(),
        }
    }
}

/// What the numbers mean (WANIPConnection:2 sections 2.5 and 2.6, WANIPv6FirewallControl:1 section 2.5).
fn upnp_words(code: u16, words: &str) -> String {
    let known = match code {
        402 => "it did not understand the request",
        501 => "it could not do it now",
        606 => "it does not allow this",
        701 | 713 | 714 => "there is no such entry",
        715 | 716 => "it takes no wildcards",
        718 => "another computer has this port",
        724 => "it only maps ports to themselves",
        725 => "it only maps ports for good",
        726 | 727 => "it wants no remote host or port",
        728 => "it has no room for another mapping",
        729 => "the port is in use by the router itself",
        702 => "its firewall is switched off",
        703 => "it allows no inbound pinholes",
        _ => words,
    };
    let known: String = known.chars().filter(|c| !c.is_control()).take(100).collect();
    format!("{known} (UPnP error {code})")
}
