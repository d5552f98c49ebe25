//! Templates: texts with `{…}`.

/// What a template may name besides captures; [`doorstep_model::Template`] says what each is.
pub(crate) const PLACEHOLDERS: [&str; 10] =
    ["scheme", "host", "authority", "path", "query", "?query", "uri", "method", "client", "request_id"];

/// What is wrong with a template, and what might be meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) why: String,
    /// It names something that does not exist.
    pub(crate) unknown: bool,
    /// A placeholder that is spelled alike.
    pub(crate) meant: Option<String>,
}

/// Checks `text`, where `captures` numbered and the `named` captures exist.
pub(crate) fn check(text: &str, captures: usize, named: &[String]) -> Result<(), Malformed> {
    let fail = |why: &str| Err(Malformed { why: why.to_owned(), unknown: false, meant: None });
    if text.chars().any(char::is_control) {
        return fail("it has a line break or control character in it");
    }
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (from, after) = rest[at..].split_at(1);
        if let Some(doubled) = after.strip_prefix(from) {
            rest = doubled;
            continue;
        }
        if from == "}" {
            return fail("a `}` stands alone; write `}}` for the character itself");
        }
        let Some((name, after)) = after.split_once('}') else {
            return fail("a `{` is not closed; write `{{` for the character itself");
        };
        known(name, captures, named)?;
        rest = after;
    }
    Ok(())
}

fn known(name: &str, captures: usize, named: &[String]) -> Result<(), Malformed> {
    if PLACEHOLDERS.contains(&name) || named.iter().any(|known| known == name) {
        return Ok(());
    }
    if let Ok(number) = name.parse::<usize>() {
        return match number {
            1..=9 if number <= captures => Ok(()),
            _ => Err(Malformed {
                why: match captures {
                    0 => format!(
                        "`{{{number}}}` stands for a part of the path, but no path with `*` or groups is matched"
                    ),
                    1 => format!("`{{{number}}}` does not exist: the path has one `*` or group, which is `{{1}}`"),
                    most => format!("`{{{number}}}` does not exist: the path has {most} `*` or groups"),
                },
                unknown: false,
                meant: None,
            }),
        };
    }
    let all = PLACEHOLDERS.into_iter().chain(named.iter().map(String::as_str));
    Err(Malformed {
        why: format!("there is no `{{{name}}}`"),
        unknown: true,
        meant: crate::suggest::nearest(name, all).map(|name| format!("{{{name}}}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_or_not() {
        for good in ["", "https://{host}{uri}", "{{}}", "{1}/{rest}", "{path}{?query}"] {
            assert_eq!(check(good, 1, &["rest".to_owned()]), Ok(()), "{good}");
        }
        for bad in ["{", "}", "{host", "{nope}", "{2}", "{0}", "{}", "a\nb", "{{}"] {
            assert!(check(bad, 1, &[]).is_err(), "{bad}");
        }
        assert_eq!(check("{hots}", 0, &[]).unwrap_err().meant.as_deref(), Some("{host}"));
    }
}
