//! Signatures: who holds a kite's secret, and which challenges are ours.

use std::fmt;
use std::hint::black_box;

use sha1::{Digest, Sha1};

use super::Kite;
use super::limits::CHALLENGE_WINDOW;

/// Characters of a signature: 8 of its seed, 28 of the digest.
pub const SIGNATURE: usize = 36;
const SEED: usize = 8;

/// What both ends of a kite know. Printed, it is `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct KiteSecret(Box<[u8]>);

impl KiteSecret {
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(secret.as_ref().into())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Signs a kite's `salt` and `challenge` (empty before there is one). `random` becomes the signature's seed.
pub fn sign(secret: &KiteSecret, kite: &Kite, salt: &str, challenge: &str, random: [u8; 4]) -> String {
    with_seed(secret.bytes(), &payload(kite, salt, challenge), "", &hex(&random))
}

/// Whether the holder of `secret` signed. Takes the same time for every wrong signature of the right length.
pub fn is_signed(secret: &KiteSecret, kite: &Kite, salt: &str, challenge: &str, signature: &str) -> bool {
    let Some(seed) = seed_of(signature) else { return false };
    same(&with_seed(secret.bytes(), &payload(kite, salt, challenge), "", seed), signature)
}

/// What a front-end challenges its back-ends with. Nothing is remembered of a challenge: whatever this key made within the
/// current window of time or the one before it is ours, also on another connection.
#[derive(Clone)]
pub struct ChallengeKey([u8; 32]);

impl ChallengeKey {
    /// From 32 random bytes, for as long as the process lives.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// A challenge for one kite at `unix` seconds.
    pub fn challenge(&self, kite: &Kite, salt: &str, unix: u64, random: [u8; 4]) -> String {
        let mut seed = String::from("t");
        seed.extend(hex(&random).chars().take(SEED - 1));
        self.in_window(kite, salt, unix / CHALLENGE_WINDOW, &seed)
    }

    /// Whether `challenge` is ours, for this kite and salt, and not too old.
    pub fn is_ours(&self, kite: &Kite, salt: &str, challenge: &str, unix: u64) -> bool {
        let Some(seed) = seed_of(challenge).filter(|seed| seed.starts_with('t')) else { return false };
        let now = unix / CHALLENGE_WINDOW;
        [now, now.saturating_sub(1)]
            .iter()
            .fold(false, |found, &window| found | same(&self.in_window(kite, salt, window, seed), challenge))
    }

    fn in_window(&self, kite: &Kite, salt: &str, window: u64, seed: &str) -> String {
        with_seed(hex(&self.0).as_bytes(), &format!("{kite}:{salt}"), &format!("{window:x}"), seed)
    }
}

impl fmt::Debug for ChallengeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn payload(kite: &Kite, salt: &str, challenge: &str) -> String {
    format!("{kite}:{salt}:{challenge}")
}

fn with_seed(secret: &[u8], payload: &str, window: &str, seed: &str) -> String {
    let mut digest = Sha1::new();
    for part in [secret, payload.as_bytes(), window.as_bytes(), seed.as_bytes()] {
        digest.update(part);
    }
    let mut signature = seed.to_owned();
    signature.extend(hex(&digest.finalize()).chars().take(SIGNATURE - SEED));
    signature
}

/// The seed of a signature that has the right length and characters.
fn seed_of(signature: &str) -> Option<&str> {
    let fine = signature.len() == SIGNATURE && signature.bytes().all(|byte| byte.is_ascii_alphanumeric());
    signature.get(..SEED).filter(|_| fine)
}

/// Without telling by its time where the two differ.
fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    a.len() == b.len() && differences == 0
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kite() -> Kite {
        Kite::new("http", "kite.lab.test").unwrap()
    }

    /// Seen on the wire between stock programs.
    #[test]
    fn the_signatures_of_the_stock_back_end() {
        let secret = KiteSecret::new("s3cr3t");
        let salt = "2b023d7e46b8b2d23ef93a14e71e109ebf2b";
        let challenge = "te9d133724d6663ffa6012bfd9ec1f8435aa";
        let first = "70aedf783edf02371f45104b19de87b29f41";
        let second = "ed398018f380f21de9bb470baaa162d8ef78";
        assert_eq!(sign(&secret, &kite(), salt, "", [0x70, 0xae, 0xdf, 0x78]), first);
        assert_eq!(sign(&secret, &kite(), salt, challenge, [0xed, 0x39, 0x80, 0x18]), second);
        assert!(is_signed(&secret, &kite(), salt, challenge, second));
        assert!(!is_signed(&secret, &kite(), salt, "", second));
        assert!(!is_signed(&KiteSecret::new("s3cr3"), &kite(), salt, challenge, second));
        assert!(!is_signed(&secret, &kite(), salt, challenge, &second[..35]));
        assert!(!is_signed(&secret, &kite(), salt, challenge, ""));
    }

    #[test]
    fn challenges_are_ours_for_two_windows() {
        let key = ChallengeKey::new([7; 32]);
        let made = 1_700_000_400 / CHALLENGE_WINDOW * CHALLENGE_WINDOW;
        let challenge = key.challenge(&kite(), "salt", made, [1, 2, 3, 4]);
        assert_eq!(challenge.len(), SIGNATURE);
        assert!(challenge.starts_with("t0102030"));
        for (later, ours) in [(0, true), (1199, true), (1200, false), (90_000, false)] {
            assert_eq!(key.is_ours(&kite(), "salt", &challenge, made + later), ours, "{later} s later");
        }
        assert!(!key.is_ours(&kite(), "other", &challenge, made));
        assert!(!key.is_ours(&Kite::new("raw", "kite.lab.test").unwrap(), "salt", &challenge, made));
        assert!(!ChallengeKey::new([8; 32]).is_ours(&kite(), "salt", &challenge, made));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?} {:?}", KiteSecret::new("abc"), ChallengeKey::new([1; 32])), "[redacted] [redacted]");
    }
}
