//! Names of sites.

use std::str::FromStr;

use doorstep_model::{HostPattern, Hostname};

/// The key of the site that answers what no other does.
pub(crate) const DEFAULT: &str = "default";

/// A host name, or `*.` and one.
pub(crate) fn pattern(text: &str) -> Result<HostPattern, String> {
    if let Some((_, rest)) = text.split_once("://") {
        let name = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(format!("a site is named by its host alone: `\"{name}\"`"));
    }
    if let Some((name, _)) = text.split_once('/') {
        return Err(format!("a site has no path; name it `\"{name}\"` and give it a route with this path"));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.chars().all(|c| c.is_ascii_digit())
        && !name.contains(':')
    {
        return Err(format!("a site has no port; name it `\"{name}\"` and set the port under `[listen]`"));
    }
    if text.contains('*') && !text.starts_with("*.") {
        return Err("`*` stands for the first part of a name only, as in `\"*.example.com\"`".to_owned());
    }
    if !text.is_ascii() {
        return Err("write the name as the DNS knows it (punycode, `xn--…`)".to_owned());
    }
    HostPattern::from_str(text).map_err(|error| error.to_string())
}

/// Whether no public authority can give this name a certificate: it means something only here.
pub(crate) fn is_local(pattern: &HostPattern) -> bool {
    const PRIVATE: [&str; 4] = [".localhost", ".local", ".internal", ".home.arpa"];
    let name: &Hostname = match pattern {
        HostPattern::Exact(name) | HostPattern::Wildcard(name) => name,
    };
    let dotted = format!(".{name}");
    name.is_local()
        || PRIVATE.iter().any(|suffix| dotted.ends_with(suffix))
        || doorstep_model::ip_literal(name.as_str()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_site_is_not() {
        assert!(pattern("*.example.com").is_ok());
        for (bad, word) in [
            ("https://a.de/x", "`\"a.de\"`"),
            ("a.de/x", "a route"),
            ("a.de:80", "[listen]"),
            ("a.*.de", "first part"),
            ("bücher.de", "punycode"),
            ("-a.de", "label"),
        ] {
            assert!(pattern(bad).unwrap_err().contains(word), "{bad}");
        }
    }
}
