//! Whatever the text, parsing comes to an end and says where things are.

use std::fs;
use std::path::Path;

use doorstep_config::{Privileges, Sources, parse};
use proptest::prelude::*;

fn survives(text: &str) {
    let sources = Sources::from_text(Path::new("/etc/doorstep/doorstep.toml"), text);
    for root in [false, true] {
        let outcome = parse(&sources, Privileges { root, low_ports: root });
        assert_eq!(outcome.spec.is_none(), outcome.errors() > 0);
        let _ = outcome.render(false);
        for diagnostic in &outcome.diagnostics {
            let _ = diagnostic.to_json();
        }
    }
}

fn fixtures() -> Vec<String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = ["good", "bad"].map(|kind| fs::read_dir(home.join(kind)).unwrap());
    let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn arbitrary_text(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn arbitrary_lines(lines in prop::collection::vec("[\\[\\]{}=\",'.#a-z0-9$ \\\\\n*/:-]{0,40}", 0..12)) {
        survives(&lines.join("\n"));
    }

    /// A few characters taken out, put in or doubled.
    #[test]
    fn mutated_fixtures(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..8, "[\\PC\n\"{}\\[\\]=$]{0,4}"), 1..6),
    ) {
        let fixtures = fixtures();
        let mut text: Vec<char> = which.get(&fixtures).chars().collect();
        for (at, remove, insert) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        survives(&text.into_iter().collect::<String>());
    }

    /// Whole lines in other places.
    #[test]
    fn shuffled_fixtures(which in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), seed in any::<u64>()) {
        let fixtures = fixtures();
        let (one, two) = (which.get(&fixtures), other.get(&fixtures));
        let mut lines: Vec<&str> = one.lines().chain(two.lines()).collect();
        let mut state = seed | 1;
        for at in 0..lines.len() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let to = usize::try_from(state >> 33).unwrap_or(0) % lines.len();
            lines.swap(at, to);
        }
        survives(&lines.join("\n"));
    }
}
