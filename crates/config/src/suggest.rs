//! "Did you mean".

/// The candidate that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let other = plain(candidate);
            let near = strsim::jaro_winkler(&word, &other);
            let edits = strsim::damerau_levenshtein(&word, &other);
            (candidate, near, edits)
        })
        .filter(|(_, near, edits)| *edits <= 1 || *near > 0.87 && *edits <= 3)
        .max_by(|a, b| b.2.cmp(&a.2).then(a.1.total_cmp(&b.1)))
        .map(|(candidate, ..)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_only() {
        let keys = ["root", "proxy", "password", "max_body", "redirect"];
        for (slip, meant) in
            [("rot", Some("root")), ("pasword", Some("password")), ("maxBody", Some("max_body")), ("banana", None)]
        {
            assert_eq!(nearest(slip, keys), meant, "{slip}");
        }
    }
}
