//! The arithmetic of sharing requests out.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use crate::limits;

/// An order of turns in which each member comes as often as its weight says, spread as evenly as possible (the smooth
/// weighted round robin of nginx). Weights that would make it longer than [`limits::ROTATION`] are rounded.
pub fn rotation(weights: &[u32]) -> Vec<u16> {
    let weights = reduced(weights.get(..weights.len().min(limits::POOL_MEMBERS)).unwrap_or_default());
    let total: i64 = weights.iter().sum();
    let mut current = vec![0i64; weights.len()];
    let mut turns = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        current.iter_mut().zip(&weights).for_each(|(current, weight)| *current += weight);
        // The first of the greatest, as one would expect of equal weights.
        let Some((best, _)) = current.iter().enumerate().rev().max_by_key(|(_, current)| **current) else { break };
        if let Some(current) = current.get_mut(best) {
            *current -= total;
        }
        turns.push(u16::try_from(best).unwrap_or(u16::MAX));
    }
    turns
}

fn reduced(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b).max(1))).max(1);
    let total: u64 = weights.iter().map(|weight| u64::from(*weight).max(1) / divisor).sum();
    let most = (limits::ROTATION as u64).max(weights.len() as u64);
    weights
        .iter()
        .map(|weight| {
            let weight = u64::from(*weight).max(1) / divisor;
            let weight = if total > most { (weight * most / total).max(1) } else { weight };
            i64::try_from(weight).unwrap_or(1)
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How strongly a key is drawn to a member (weighted rendezvous hashing): it goes to whoever draws most. When a member
/// leaves, only its own keys move; when one comes, it takes its share from each. The same in all workers and after a
/// restart.
pub fn attraction(key: u64, member: &str, weight: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    member.hash(&mut hasher);
    // 53 bits are what an f64 holds; never 0 and never 1.
    let uniform = ((hasher.finish() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight.max(1)) / uniform.ln()
}

/// A key's hash, the same after a restart.
pub fn key_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A number that nobody can predict well enough to matter for balancing.
pub fn dice() -> u64 {
    use std::cell::Cell;
    use std::hash::RandomState;
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8) | 1);
    }
    // xorshift64*
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_mixed() {
        assert_eq!(rotation(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(rotation(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(rotation(&[40, 20]), [0, 1, 0]);
        assert_eq!(rotation(&[]), [] as [u16; 0]);
    }

    fn best(key: u64, members: &[(String, u32)]) -> String {
        let draw = |member: &&(String, u32)| attraction(key, &member.0, member.1);
        members.iter().max_by(|a, b| draw(a).total_cmp(&draw(b))).unwrap().0.clone()
    }

    proptest! {
        #[test]
        fn every_member_has_its_share(weights in proptest::collection::vec(1u32..100_000, 1..40)) {
            let turns = rotation(&weights);
            prop_assert!(turns.len() <= limits::ROTATION.max(weights.len()) + weights.len());
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            for (index, weight) in weights.iter().enumerate() {
                let share = turns.iter().filter(|turn| usize::from(**turn) == index).count() as f64 / turns.len() as f64;
                prop_assert!(share > 0.0);
                prop_assert!((share - f64::from(*weight) / total as f64).abs() < 0.02, "{index}: {share}");
            }
        }

        #[test]
        fn only_the_keys_of_who_leaves_move(
            names in proptest::collection::hash_set("[a-z]{1,12}", 2..20),
            weight in 1u32..9,
            keys in proptest::collection::vec(any::<u64>(), 1..200),
        ) {
            let members: Vec<(String, u32)> =
                names.into_iter().enumerate().map(|(index, name)| (name, if index == 0 { weight } else { 1 })).collect();
            let (gone, rest) = members.split_last().unwrap();
            for key in keys {
                let before = best(key, &members);
                if before != gone.0 {
                    prop_assert_eq!(best(key, rest), before);
                }
            }
        }
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let members = [("a".to_owned(), 3), ("b".to_owned(), 1)];
        let count = (0..10_000).filter(|key| best(key_of(&u64::to_le_bytes(*key)), &members) == "a").count();
        assert!((7_200..7_800).contains(&count), "{count}");
    }
}
