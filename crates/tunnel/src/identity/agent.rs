use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use doorstep_model::Secret;
use doorstep_proto::tunnel::{AgentKey, Signature};

/// An agent's Ed25519 key (RFC 8032).
#[derive(Clone, Debug)]
pub struct AgentKeyPair {
    pair: Arc<Ed25519KeyPair>,
    seed: Secret<[u8; 32]>,
}

impl AgentKeyPair {
    /// A new one. `None`: this computer gave no random numbers.
    pub fn generate() -> Option<Self> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).ok()?;
        Self::from_seed(seed)
    }

    /// `None` for what is no key.
    pub fn from_seed(seed: [u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(Self { pair: Arc::new(pair), seed: Secret::new(seed) })
    }

    pub fn public(&self) -> AgentKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        key
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    pub(super) fn seed(&self) -> &Secret<[u8; 32]> {
        &self.seed
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_same_seed_is_the_same_key_and_is_not_printed() {
        let key = AgentKeyPair::generate().unwrap();
        let again = AgentKeyPair::from_seed(*key.seed().reveal()).unwrap();
        assert_eq!(key.public(), again.public());
        let verifier = UnparsedPublicKey::new(&ED25519, key.public());
        verifier.verify(b"hello", &again.sign(b"hello")).unwrap();
        assert!(verifier.verify(b"other", &again.sign(b"hello")).is_err());
        assert!(format!("{key:?}").contains("[redacted]"));
    }
}
