use std::collections::BTreeMap;

use doorstep_proto::pagekite::{Kite, KiteError, KiteSecret};

/// Which names may be flown, and with whose secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KiteNames(BTreeMap<String, KiteSecret>);

impl KiteNames {
    /// `name` is a host name, or `*.` and one: any name that ends so, unless it stands here itself.
    ///
    /// # Errors
    /// When it is not a host name.
    pub fn add(&mut self, name: &str, secret: KiteSecret) -> Result<(), KiteError> {
        let (star, domain) = name.strip_prefix("*.").map_or(("", name), |domain| ("*.", domain));
        let kite = Kite::new("http", domain)?;
        self.0.insert(format!("{star}{}", kite.domain()), secret);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn secret(&self, domain: &str) -> Option<&KiteSecret> {
        self.entry(domain).map(|(_, secret)| secret)
    }

    /// The name as it was added, `*.` and all, under which `domain` is allowed.
    pub(crate) fn owner(&self, domain: &str) -> Option<String> {
        self.entry(domain).map(|(name, _)| name.clone())
    }

    fn entry(&self, domain: &str) -> Option<(&String, &KiteSecret)> {
        let parents = std::iter::successors(domain.split_once('.'), |(_, parent)| parent.split_once('.'));
        let wild = parents.map(|(_, parent)| format!("*.{parent}"));
        std::iter::once(domain.to_owned()).chain(wild).find_map(|name| self.0.get_key_value(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_counts() {
        let mut names = KiteNames::default();
        for (name, secret) in [("Blog.example.net", "one"), ("*.example.net", "two"), ("*.a.example.net", "three")] {
            names.add(name, KiteSecret::new(secret)).unwrap();
        }
        let secret = |domain| names.secret(domain).cloned();
        assert_eq!(secret("blog.example.net"), Some(KiteSecret::new("one")));
        assert_eq!(secret("shop.example.net"), Some(KiteSecret::new("two")));
        assert_eq!(secret("b.a.example.net"), Some(KiteSecret::new("three")));
        assert_eq!(names.owner("b.a.example.net").as_deref(), Some("*.a.example.net"));
        assert_eq!(secret("example.net"), None);
        assert_eq!(secret("net"), None);
        assert_eq!(names.add("*", KiteSecret::new("")), Err(KiteError::Domain));
        assert!(!format!("{names:?}").contains("one"));
    }
}
