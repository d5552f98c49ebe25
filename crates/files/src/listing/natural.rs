//! Natural order: `file 2` before `file 10`, letter case and accents apart only where nothing else differs.

/// Appends to `key` bytes whose plain comparison orders names naturally.
///
/// A run of digits becomes its length and its digits, so that a larger number has a larger key; letters are folded to
/// lower case without accents. Names that fold to the same key must be told apart by their own bytes.
pub fn push_key(name: &str, key: &mut Vec<u8>) {
    let bytes = name.as_bytes();
    let mut at = 0;
    while let Some(c) = name[at..].chars().next() {
        if c.is_ascii_digit() {
            let end = bytes[at..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| at + n);
            let run = &bytes[at..end];
            let zeros = run.iter().take_while(|b| **b == b'0').count().min(run.len() - 1);
            let digits = &run[zeros..];
            key.push(b'0');
            key.extend_from_slice(&(digits.len() as u32).to_be_bytes());
            key.extend_from_slice(digits);
            at = end;
        } else {
            push_folded(c, key);
            at += c.len_utf8();
        }
    }
}

/// Text folded for searching: lower case, accents of Latin letters removed.
pub fn fold(text: &str) -> String {
    let mut folded = Vec::with_capacity(text.len());
    for c in text.chars() {
        push_folded(c, &mut folded);
    }
    String::from_utf8(folded).unwrap_or_default()
}

/// Base letters of U+00C0 to U+017F (Latin-1 Supplement and Latin Extended-A); a space where there is none.
const BASE: &[u8; 192] = b"aaaaaa ceeeeiiii nooooo ouuuuy  aaaaaa ceeeeiiii nooooo ouuuuy y\
aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii  jjkk lllllll\
lllnnnnnn   oooooo  rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

fn push_folded(c: char, out: &mut Vec<u8>) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase() as u8);
        return;
    }
    let base = (c as usize).checked_sub(0xC0).and_then(|at| BASE.get(at)).filter(|base| **base != b' ');
    if let Some(base) = base {
        out.push(*base);
        return;
    }
    let mut buffer = [0; 4];
    for lower in c.to_lowercase() {
        out.extend_from_slice(lower.encode_utf8(&mut buffer).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut keyed: Vec<(Vec<u8>, &str)> = names
            .iter()
            .map(|name| {
                let mut key = Vec::new();
                push_key(name, &mut key);
                (key, *name)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(
            sorted(&["file 10", "file 9", "File 2", "file 1b", "file 1"]),
            ["file 1", "file 1b", "File 2", "file 9", "file 10"]
        );
        assert_eq!(sorted(&["v1.10.0", "v1.9.2", "v1.9.10"]), ["v1.9.2", "v1.9.10", "v1.10.0"]);
        assert_eq!(sorted(&["00", "0", "1", "001"]), ["0", "00", "001", "1"]);
    }

    #[test]
    fn numbers_of_any_length_keep_their_order() {
        let long = "9".repeat(300);
        let longer = "1".to_owned() + &"0".repeat(300);
        assert_eq!(sorted(&[&longer, &long, "5"]), ["5".to_owned(), long.clone(), longer.clone()]);
    }

    #[test]
    fn case_and_accents_do_not_separate_neighbours() {
        assert_eq!(
            sorted(&["zebra", "Éclair", "eclipse", "Apfel", "ähnlich"]),
            ["ähnlich", "Apfel", "Éclair", "eclipse", "zebra"]
        );
    }

    #[test]
    fn the_table_of_base_letters_is_aligned() {
        for (accented, base) in [
            ('À', "a"),
            ('ß', "ß"),
            ('é', "e"),
            ('ÿ', "y"),
            ('Ā', "a"),
            ('č', "c"),
            ('ł', "l"),
            ('ň', "n"),
            ('ř', "r"),
            ('Š', "s"),
            ('ž', "z"),
            ('ő', "o"),
            ('ű', "u"),
            ('ć', "c"),
            ('ğ', "g"),
            ('ı', "i"),
            ('þ', "þ"),
        ] {
            assert_eq!(fold(&accented.to_string()), base, "{accented}");
        }
    }

    #[test]
    fn folding_is_for_searching() {
        assert_eq!(fold("ÉTÉ Ωmega Straße"), "ete ωmega straße");
    }
}
