/// What kind of ssh server it is, as far as lending is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// An ordinary sshd: lends ports.
    Stock,
    /// A server made for lending (doorstep's own, sish, serveo): lends names at port 80, and prints addresses.
    Lender,
}

impl Style {
    /// By the software version in the server's greeting (RFC 4253 section 4.2).
    pub fn of(software: &str) -> Self {
        const ORDINARY: &[&str] = &["openssh", "dropbear", "libssh", "tinyssh", "asyncssh", "tectia", "rosssh", "lsh-"];
        let software = software.to_ascii_lowercase();
        if ORDINARY.iter().any(|name| software.starts_with(name)) { Self::Stock } else { Self::Lender }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_greeting() {
        for (software, style) in [
            ("OpenSSH_9.2p1", Style::Stock),
            ("dropbear_2022.83", Style::Stock),
            ("Go", Style::Lender),
            ("doorstep_0.1.0", Style::Lender),
            ("serveo", Style::Lender),
        ] {
            assert_eq!(Style::of(software), style, "{software}");
        }
    }
}
