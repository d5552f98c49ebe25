//! Passwords made up for people to read out: `bafod-kulim-zoret-mipad`.

use std::io::{self, Read};

use doorstep_model::{Password, Secret};

/// User name of a password that was made up.
const USER: &str = "guest";

const GROUPS: usize = 4;

/// 16 consonants that are told apart by ear and by eye: 4 bits each.
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";

/// 4 vowels: 2 bits each.
const VOWELS: &[u8; 4] = b"aiou";

/// A password of four groups such as `bafod`: 4 × 16 = 64 bits of the system's randomness.
///
/// # Errors
/// The system's, if it has no randomness to give.
pub fn made_up() -> io::Result<Password> {
    Ok(Password { user: USER.to_owned(), password: Secret::new(spell(&random()?)) })
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The system's, if it has no randomness to give.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut random = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random)
}

/// Consonant, vowel, consonant, vowel, consonant for every two bytes.
fn spell(random: &[u8; 2 * GROUPS]) -> String {
    let groups = random.chunks(2).map(|pair| {
        let mut bits = pair.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let mut take = |letters: &[u8]| {
            let letter = letters[bits % letters.len()] as char;
            bits /= letters.len();
            letter
        };
        let (first, second) = (take(CONSONANTS), take(VOWELS));
        let (third, fourth) = (take(CONSONANTS), take(VOWELS));
        String::from_iter([first, second, third, fourth, take(CONSONANTS)])
    });
    groups.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pair_of_bytes_is_another_group() {
        let groups: HashSet<String> = (0..=u16::MAX)
            .map(|pair| {
                let mut random = [0; 2 * GROUPS];
                random[..2].copy_from_slice(&pair.to_be_bytes());
                spell(&random)[..5].to_owned()
            })
            .collect();
        assert_eq!(groups.len(), 65_536);
    }

    #[test]
    fn is_pronounceable_and_never_the_same() {
        let (one, two) = (made_up().unwrap(), made_up().unwrap());
        assert_eq!(one.password.reveal().len(), 23);
        assert_ne!(one.password, two.password);
        assert_eq!(one.user, "guest");
    }
}
