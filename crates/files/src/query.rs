//! What stands behind the `?` of a request's target.

/// Decoded `name=value` pairs in order. A name without `=` has an empty value.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Of a request's target. Malformed escapes stay as they are; bytes that are not UTF-8 become U+FFFD.
    pub fn of(target: &http::Uri) -> Self {
        let pairs = target.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Query::of(&"/x?upload&name=a+b%26c%C3%BC&empty=&name=second".parse().unwrap());
        assert_eq!(query.get("name"), Some("a b&cü"));
        assert_eq!(query.get("empty"), Some(""));
        assert!(query.has("upload") && !query.has("zip"));
        assert!(!Query::of(&"/x".parse().unwrap()).has(""));
    }
}
