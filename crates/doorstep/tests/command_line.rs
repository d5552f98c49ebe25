//! The binary as a stranger types it: help, mistakes, exit codes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn doorstep(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorstep"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs in an empty folder; checks the exit code, that standard output stays empty, and what standard error says.
#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    refused_in(folder.path(), arguments, code, words);
}

#[track_caller]
fn refused_in(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let output = doorstep(arguments, folder);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} should say {word:?}:\n{said}");
    }
}

#[test]
fn alone_it_says_what_to_type() {
    let output = doorstep(&[], Path::new("."));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("doorstep share 8000"));
}

#[test]
fn help_teaches_by_example_and_names_every_flag() {
    let output = doorstep(&["share", "--help"], Path::new("."));
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for flag in [
        "--bind",
        "--port",
        "--local",
        "--host",
        "--tls",
        "--spa",
        "--cors",
        "--hidden",
        "--upload",
        "--upload-only",
        "--max-upload",
        "--insecure-upstream",
        "--keep-host",
        "--password",
        "--allow",
        "--expires",
        "--max-rate",
        "--max-total-rate",
        "--max-conns",
        "--once",
        "--no-qr",
        "--open",
        "--json",
        "--quiet",
        "--verbose",
        "--log",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    assert!(help.contains("doorstep share photos --password --expires 2h"));
    assert!(help.contains("unix:PATH"));
}

#[test]
fn every_documented_example_is_understood() {
    let help = text(&doorstep(&["share", "--help"], Path::new(".")).stdout);
    let examples = help.lines().filter_map(|line| line.trim().strip_prefix("doorstep share"));
    let mut count = 0;
    for example in examples {
        // The example ends where its explanation starts: after two spaces.
        let words = example.split("   ").next().unwrap_or_default();
        let arguments: Vec<&str> = words.split_whitespace().collect();
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = [&["share"], arguments.as_slice()].concat();
        // An unknown option or a malformed value would be an error of usage before the missing target is one.
        arguments.retain(|word| *word != "-");
        if let Some(target) = arguments.iter_mut().skip(1).find(|word| !word.starts_with('-')) {
            *target = "./missing";
        } else {
            arguments.push("./missing");
        }
        let output = doorstep(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output.stderr));
        count += 1;
    }
    assert!(count >= 10, "{count} examples in\n{help}");
}

#[test]
fn version_man_page_and_completions() {
    let version = text(&doorstep(&["--version"], Path::new(".")).stdout);
    assert_eq!(version.trim(), format!("doorstep {}", env!("CARGO_PKG_VERSION")));
    let man = text(&doorstep(&["man"], Path::new(".")).stdout);
    assert!(man.starts_with(".ie") || man.starts_with(".TH"), "{}", &man[..80]);
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&doorstep(&["completions", shell], Path::new(".")).stdout);
        assert!(script.contains("upload-only"), "{shell}");
    }
}

#[test]
fn misspelt_commands_get_a_suggestion() {
    refused(&["shrae", "photos"], 2, &["Did you mean", "doorstep share photos"]);
    refused(&["8000"], 2, &["doorstep share 8000"]);
    refused(&["http://localhost:3000"], 2, &["doorstep share http://localhost:3000"]);
    refused(&["share", "--passwrod"], 2, &["--password"]);
}

#[test]
fn values_that_make_no_sense_are_errors_of_usage() {
    refused(&["share", "--port", "70000"], 2, &["70000", "ports go from 1 to 65535"]);
    refused(&["share", "--expires", "soon"], 2, &["write a duration such as"]);
    refused(&["share", "--max-rate", "2Mb/s"], 2, &["could be bits or bytes"]);
    refused(&["share", "--max-upload", "big", "--upload"], 2, &["write a size such as"]);
    refused(&["share", "--allow", "home"], 2, &["192.168.1.0/24"]);
    refused(&["share", "--host", "a.example:80"], 2, &["without a port"]);
    refused(&["share", "--max-conns", "0"], 2, &["--max-conns"]);
    refused(&["share", "--local", "--bind", "::1"], 2, &["cannot be used with"]);
    refused(&["share", "70000"], 2, &["70000 is not a port"]);
    refused(&["share", "localhost:0"], 2, &["0 is not a port"]);
    refused(&["share", "ftp://example.com"], 2, &["http:// or https://"]);
    refused(&["share", "http://"], 2, &["no host"]);
    refused(&["share", "--password=adasecret:", "."], 2, &["USER:PASS"]);
}

#[test]
fn options_for_another_kind_of_target_are_errors_of_usage() {
    refused(&["share", "8000", "--spa"], 2, &["--spa is for folders", "an app"]);
    refused(&["share", ".", "--keep-host"], 2, &["--keep-host is for apps", "a folder"]);
    refused(&["share", "http://localhost:1", "--insecure-upstream"], 2, &["https://"]);
    refused(&["share", "--max-upload", "1GB"], 2, &["--max-upload needs --upload"]);
    refused(&["share", "8000", "--once"], 2, &["--once is for folders and files"]);
}

#[test]
fn a_missing_target_is_named_with_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    refused_in(folder.path(), &["share", "phtos"], 3, &["there is no ./phtos", "Did you mean ./photos?"]);
    refused(&["share", "example.com"], 3, &["http://example.com"]);
    refused(&["share", "/dev/null"], 3, &["neither a folder nor a file"]);
}

#[test]
fn a_password_without_value_does_not_swallow_the_target() {
    refused(&["share", "--password", "./missing"], 3, &["there is no ./missing"]);
}

#[test]
fn a_taken_port_is_refused_with_its_owner() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let owner = format!("process {}", std::process::id());
    refused(&["share", "--local", "--port", &port], 4, &[&format!("port {port} is taken"), &owner, "--port N"]);
    refused(&["share", "--bind", "192.0.2.1"], 4, &["192.0.2.1 is not an address of this computer"]);
}

#[test]
fn an_error_is_an_event_for_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = doorstep(&["share", "./missing", "--json"], folder.path());
    assert_eq!(output.status.code(), Some(3));
    let event: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((event["event"].as_str(), event["code"].as_u64()), (Some("error"), Some(3)));
    assert!(text(&output.stderr).contains("there is no ./missing"));
}

#[test]
fn words_of_strangers_cannot_command_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let output = doorstep(&["share", "./\x1b[2Jgone"], folder.path());
    assert!(!text(&output.stderr).contains('\x1b'));
}

#[test]
fn a_disk_without_room_for_standard_input_is_said() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorstep"))
        .args(["share", "-", "--local"])
        .env("TMPDIR", "/no/such/folder")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(b"hello");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("Set TMPDIR"));
}
