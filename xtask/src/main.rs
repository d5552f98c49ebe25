//! The project's own chores: `cargo xtask test | lint | tidy | bench`.

mod bench;
mod lint;
mod packages;
mod report;
mod sh;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test             everything: Debian packages, tidy, formatting, unit, property, integration, end-to-end
cargo xtask test e2e [ARG…]  only the end-to-end tests; ARG goes to pytest (-k upload, -x, tests/e2e/test_smoke.py)
cargo xtask lint             formatting, clippy, licences and sources, unused dependencies, tidy
cargo xtask tidy             the project's own rules (ARCHITECTURE.md, STYLE.md), checked
cargo xtask bench [CASE…]    doorstep beside nginx, haproxy and caddy; writes docs/benchmarks.md
cargo xtask bench tunnel     only tunnels, beside rathole, bore and ssh
cargo xtask bench --list     the names of the cases
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => test::everything(),
        ["test", "e2e", rest @ ..] => test::end_to_end_only(rest),
        ["lint"] => lint::run(),
        ["tidy"] => tidy::run(),
        ["bench", rest @ ..] => bench::run(rest),
        _ => {
            print!("{HELP}");
            return if matches!(words.as_slice(), ["help" | "--help" | "-h"]) {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
