use aws_lc_rs::hmac;
use doorstep_proto::tunnel::{AgentKey, Code, TunnelError};

/// Labels under the relay's domain that nobody gets: for they mean something to the programs of others (mail clients,
/// browsers, resolvers, whoever hands out certificates), or look like the relay's own. `api`, `app` and their like are free.
const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "autoconfig",
    "autodiscover",
    "dns",
    "doorstep",
    "ftp",
    "hostmaster",
    "imap",
    "isatap",
    "localhost",
    "mail",
    "mta-sts",
    "mx",
    "ns",
    "openpgpkey",
    "pop",
    "pop3",
    "postmaster",
    "relay",
    "root",
    "security",
    "smtp",
    "ssh",
    "ssl",
    "status",
    "sysadmin",
    "webmail",
    "webmaster",
    "wpad",
    "www",
];

/// Whether agents may have `labels` (what stands before the relay's domain).
pub(super) fn check(labels: &str, patterns: &[String]) -> Result<(), TunnelError> {
    for label in labels.split('.') {
        // `ns1`, `mx2`.
        let word = label.trim_end_matches(|c: char| c.is_ascii_digit());
        if RESERVED.contains(&label) || matches!(word, "ns" | "mx" | "dns") || label.starts_with('_') {
            return Err(TunnelError::new(Code::NameNotAllowed, format!("{label} is reserved on every relay")));
        }
    }
    // A wildcard certificate covers one label; and nobody should get names beneath another's.
    if labels.contains('.') && !patterns.iter().any(|pattern| pattern.contains('.')) {
        return Err(TunnelError::new(Code::NameNotAllowed, format!("{labels}: one word without dots, please")));
    }
    Ok(())
}

/// The `attempt`th name for a claim that leaves it to the relay: the same for the same owner and label on the same relay,
/// and nobody can know it beforehand. Three words of two syllables, which can be told over the phone; in the form of
/// `pattern` where the agent has one.
pub(super) fn stable(secret: &hmac::Key, owner: &AgentKey, label: &str, attempt: u8, pattern: Option<&str>) -> String {
    let mut context = hmac::Context::with_key(secret);
    context.update(b"doorstep stable name");
    context.update(owner);
    context.update(&[attempt]);
    context.update(label.as_bytes());
    let tag = context.sign();
    let words = tag.as_ref().chunks_exact(4).take(3).map(|part| {
        let number = part.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        word(number)
    });
    let name = words.collect::<Vec<_>>().join("-");
    match pattern.and_then(|pattern| pattern.split_once('*')) {
        Some((start, end)) => format!("{start}{name}{end}"),
        None => name,
    }
}

/// Syllables that sound and look different: no c, q, x, y, j, h, w.
const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
const VOWELS: &[u8] = b"aeiou";

fn word(mut number: u32) -> String {
    let mut word = String::new();
    for letters in [CONSONANTS, VOWELS, CONSONANTS, VOWELS] {
        let count = letters.len() as u32;
        word.push(char::from(letters[(number % count) as usize]));
        number /= count;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_labels() {
        for taken in ["www", "ns1", "mx", "_acme-challenge", "admin", "blog.www", "_doorstep.blog"] {
            assert_eq!(check(taken, &["*.www".into()]).unwrap_err().code, Code::NameNotAllowed, "{taken}");
        }
        for free in ["blog", "api", "www-2", "ns1a", "xn--bcher-kva"] {
            check(free, &[]).unwrap();
        }
        assert!(check("a.blog", &["blog".into()]).is_err());
        check("a.blog", &["*.blog".into()]).unwrap();
    }

    #[test]
    fn stable_names_are_the_same_each_time_and_differ_by_owner_label_and_relay() {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        let name = |secret, owner: u8, label| stable(secret, &[owner; 32], label, 0, None);
        let first = name(&secret, 1, "8000");
        assert_eq!(first, name(&secret, 1, "8000"));
        let letters = |word: &str| word.len() == 4 && word.bytes().all(|c| c.is_ascii_lowercase());
        assert!(first.split('-').count() == 3 && first.split('-').all(letters), "{first}");
        for different in [name(&secret, 2, "8000"), name(&secret, 1, "8001"), name(&other, 1, "8000")] {
            assert_ne!(first, different);
        }
        assert_ne!(first, stable(&secret, &[1; 32], "8000", 1, None));
        assert_eq!(format!("studio-{first}"), stable(&secret, &[1; 32], "8000", 0, Some("studio-*")));
    }
}
