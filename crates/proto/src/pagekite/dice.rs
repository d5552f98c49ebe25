use std::fmt;

use sha1::{Digest, Sha1};

use super::sign::hex;

/// Random values from a driver's 32 random bytes.
#[derive(Clone)]
pub struct Dice {
    seed: [u8; 32],
    thrown: u64,
}

impl Dice {
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, thrown: 0 }
    }

    pub fn four(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.throw();
        [a, b, c, d]
    }

    /// 36 hexadecimal digits, as stock programs have them.
    pub fn salt(&mut self) -> String {
        hex(&self.throw()).chars().take(36).collect()
    }

    fn throw(&mut self) -> [u8; 20] {
        self.thrown += 1;
        let mut digest = Sha1::new();
        digest.update(self.seed);
        digest.update(self.thrown.to_be_bytes());
        digest.finalize().into()
    }
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
