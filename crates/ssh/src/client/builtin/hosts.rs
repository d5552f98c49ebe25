use std::borrow::Cow;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::Preferred;
use russh::keys::{Algorithm, PublicKey};

use crate::client::{Fault, KnownHosts};
use crate::limits::KNOWN_HOSTS;

/// What known_hosts (sshd(8)) says of a server.
pub(super) struct Hosts {
    known: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

impl Hosts {
    /// Reads the file, which is small: it waits for the disk. One that is not there knows nobody.
    pub fn new(host: &str, port: u16, from: &KnownHosts) -> Self {
        let read = |path: &Path| {
            use std::io::Read;
            let mut bytes = Vec::new();
            if let Ok(file) = std::fs::File::open(path) {
                let _ = file.take(KNOWN_HOSTS).read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let text = match from {
            KnownHosts::Usual => read(&std::env::home_dir().unwrap_or_default().join(".ssh/known_hosts")),
            KnownHosts::File(path) => read(path),
            KnownHosts::Text(text) => text.clone(),
        };
        Self::parse(host, port, &text)
    }

    fn parse(host: &str, port: u16, text: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        let (mut known, mut revoked) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(patterns), Some(kind), Some(blob)) = (words.next(), words.next(), words.next()) else { continue };
            if patterns.starts_with('#') || !matches(patterns, &name) {
                continue;
            }
            // Kinds that are not known here cannot be what the server shows either.
            let Ok(key) = PublicKey::from_openssh(&format!("{kind} {blob}")) else { continue };
            match marker {
                None => known.push(key),
                Some("@revoked") => revoked.push(key),
                // Whoever an authority signs for: certificates are not asked for.
                Some(_) => {}
            }
        }
        Self { known, revoked }
    }

    /// Has the server show a key of the kinds that are known first.
    pub fn prefer(&self, preferred: &mut Preferred) {
        let is_known = |algorithm: &Algorithm| self.known.iter().any(|key| key.algorithm() == *algorithm);
        let (mut first, rest): (Vec<_>, Vec<_>) = preferred.key.iter().cloned().partition(is_known);
        first.extend(rest);
        preferred.key = Cow::Owned(first);
    }

    /// # Errors
    /// Nobody said that this key is the server's, or somebody said that another one is.
    pub fn check(&self, key: &PublicKey) -> Result<(), Fault> {
        let same = |other: &PublicKey| other.key_data() == key.key_data();
        if self.revoked.iter().any(same) {
            return Err(Fault::HostKeyChanged);
        }
        if self.known.iter().any(same) {
            return Ok(());
        }
        let other = self.known.iter().any(|other| other.algorithm() == key.algorithm());
        Err(if other { Fault::HostKeyChanged } else { Fault::HostKeyUnknown })
    }
}

/// Whether a line is about `name`: patterns with commas between them, or one hashed name.
fn matches(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        let decode = |part: &str| STANDARD.decode(part).ok();
        let parts = hashed.split_once('|').and_then(|(salt, hash)| Some((decode(salt)?, decode(hash)?)));
        return parts.is_some_and(|(salt, hash)| {
            // As the format has it; the name is no secret from whoever may read the file.
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            hmac::verify(&key, name.as_bytes(), &hash).is_ok()
        });
    }
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if fits(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= fits(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// `*` stands for any characters, `?` for one. Takes time in proportion to both lengths' product at most.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(other) if *other == b'?' || other.eq_ignore_ascii_case(c) => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, n) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHGvAMVGt8WfFGVBVGt6QXAnGNfAVeTLjVOtAMCjF/6x";

    fn check(text: &str, host: &str, port: u16) -> Result<(), Fault> {
        Hosts::parse(host, port, text).check(&PublicKey::from_openssh(A).unwrap())
    }

    #[test]
    fn who_is_known() {
        let unknown = Err(Fault::HostKeyUnknown);
        assert_eq!(check(&format!("h.example {A} comment"), "H.example", 22), Ok(()));
        assert_eq!(check(&format!("h.example {A}"), "h.example", 2222), unknown);
        assert_eq!(check(&format!("# x\n[h.example]:2222,other {A}"), "h.example", 2222), Ok(()));
        assert_eq!(check(&format!("*.example,!bad.example {A}"), "h.example", 22), Ok(()));
        assert_eq!(check(&format!("*.example,!bad.example {A}"), "bad.example", 22), unknown);
        assert_eq!(check(&format!("h.example {B}"), "h.example", 22), Err(Fault::HostKeyChanged));
        assert_eq!(check(&format!("h.example {B}\nh.example {A}"), "h.example", 22), Ok(()));
        assert_eq!(check(&format!("h.example {A}\n@revoked * {A}"), "h.example", 22), Err(Fault::HostKeyChanged));
        assert_eq!(check(&format!("@cert-authority * {A}"), "h.example", 22), unknown);
        assert_eq!(check("", "h.example", 22), unknown);
    }

    #[test]
    fn hashed_names() {
        // As `ssh-keygen -H` wrote it for h.example.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"salt salt salt salt.");
        let hash = STANDARD.encode(hmac::sign(&key, b"h.example").as_ref());
        let line = format!("|1|{}|{hash} {A}", STANDARD.encode(b"salt salt salt salt."));
        assert_eq!(check(&line, "h.example", 22), Ok(()));
        assert_eq!(check(&line, "other.example", 22), Err(Fault::HostKeyUnknown));
    }

    proptest! {
        #[test]
        fn no_text_makes_an_unknown_server_known(text in "[ -~\n]{0,400}") {
            prop_assert_ne!(check(&text, "h.example", 22), Ok(()));
        }

        #[test]
        fn patterns_fit_what_they_were_made_of(name in "[a-c.]{0,12}", cuts in prop::collection::vec(any::<bool>(), 12)) {
            let pattern: String = name.chars().zip(&cuts).map(|(c, cut)| if *cut { '*' } else { c }).collect();
            prop_assert!(fits(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
