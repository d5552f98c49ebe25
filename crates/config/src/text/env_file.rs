//! Files of environment variables, as `.env` files are written.

/// Lines `NAME=VALUE`, `export NAME=VALUE`; values plain, in `'…'` as they are, or in `"…"` with `\n`, `\"` and `\\`. Empty
/// lines and comments are skipped.
///
/// # Errors
/// The line's number, and what is wrong with it; never the value.
pub(crate) fn read(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |why: &str| (number + 1, why.to_owned());
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(fail("there is no `=`"))?;
        let name = name.trim();
        name_of_variable(name).map_err(|why| fail(&why))?;
        let value = unquoted(value.trim()).ok_or(fail("a quote is not closed"))?;
        if value.contains('\0') {
            return Err(fail("the value has a NUL in it"));
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

/// Letters, digits and `_`, no digit first.
pub(crate) fn name_of_variable(name: &str) -> Result<(), String> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
        Ok(())
    } else {
        Err("names of variables have letters, digits and `_`, no digit first".to_owned())
    }
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().trim_start().is_empty().then_some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let text = "# c\nA=1\nexport B = 'x y' \nC=\"a\\nb\"\nD=v # note\nE=\n";
        let got = read(text).unwrap();
        let want = [("A", "1"), ("B", "x y"), ("C", "a\nb"), ("D", "v"), ("E", "")];
        assert_eq!(got, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for bad in ["x", "1A=1", "A='x", "A=\"x\\", "=1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
