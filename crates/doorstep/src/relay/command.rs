//! `doorstep relay --domain …`: what `[relay]` in `doorstep.toml` says, by a command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use doorstep_config::{Diagnostic, Privileges, Sources};
use time::UtcOffset;
use toml::{Table, Value};

use super::admin;
use crate::args::relay::RelayCommand;
use crate::exit::{Code, Failure};
use crate::up;
use crate::up::supervisor::configuration::Written;

pub const EXAMPLES: &str = "\
Examples:
  doorstep relay --domain tun.example.com --email me@example.com    on a computer with a public address
  doorstep relay invite laptop                                      prints the line to paste on the laptop
  doorstep share 8000 --via tun.example.com                         there, once it has joined

In the DNS, tun.example.com and *.tun.example.com lead to this computer. To start it with the computer, and beside sites:
`doorstep relay --domain … --print-config > doorstep.toml`, then `doorstep service install` (docs/relay.md).";

/// The name of what was told on the command line, where a configuration file would be named.
const COMMAND_LINE: &str = "doorstep-relay";

/// `doorstep relay`'s command line.
#[derive(Clone, Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RelayArgs {
    #[command(subcommand)]
    pub command: Option<RelayCommand>,
    /// Lend names beneath this domain
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Listen here without TLS, for redirects and challenges [default: :80, or :8080 without the right to it]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Vec<String>,
    /// Listen here for agents and visitors [default: :443, or :8443 without the right to it]
    #[arg(long, value_name = "ADDRESS")]
    pub https: Vec<String>,
    /// TCP and UDP ports that may be lent, or none [default: 20000-29999]
    #[arg(long, value_name = "A-B")]
    pub ports: Option<String>,
    /// Listen here for `ssh -R`, for people who have installed nothing
    #[arg(long, value_name = "PORT")]
    pub ssh: Vec<String>,
    /// For the certificate authority to write to
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Another certificate authority: the URL of its ACME directory, or letsencrypt-staging
    #[arg(long, value_name = "URL", conflicts_with_all = ["cert", "local"])]
    pub directory: Option<String>,
    /// Certificates that are trusted when talking to it, PEM, instead of the system's
    #[arg(long, value_name = "FILE", requires = "directory")]
    pub directory_roots: Option<PathBuf>,
    /// A certificate of your own for DOMAIN and *.DOMAIN, PEM
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "local")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Certificates of this computer's own authority, for trials
    #[arg(long)]
    pub local: bool,
    /// Whom visitors can tell of abuse: a mail address or an https:// address
    #[arg(long, value_name = "CONTACT")]
    pub abuse: Option<String>,
    /// Keep agents, names, certificates in this folder
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// One JSON object a line instead of text, for programs
    #[arg(long)]
    pub json: bool,
    /// Print the same as a doorstep.toml, and do nothing else
    #[arg(long)]
    pub print_config: bool,
}

/// Runs until it is told to stop.
///
/// # Errors
/// What is wrong with the command line, or why it could not start.
pub fn run(args: RelayArgs, zone: UtcOffset) -> Result<ExitCode, Failure> {
    if let Some(command) = args.command {
        return admin::run(command);
    }
    let args = &args;
    if args.domain.is_none() {
        return Err(Failure::new(Code::Usage, "the domain is missing beneath which names are lent").fix(
            "For example: doorstep relay --domain tun.example.com\n\
             tun.example.com and *.tun.example.com have to lead to this computer in the DNS.",
        ));
    }
    let text = text(args);
    let place = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(COMMAND_LINE);
    check(&place, &text)?;
    if args.print_config {
        return crate::print(text.as_bytes());
    }
    up::run_written(Written::Told { place, text }, args.state.as_deref(), args.json, zone)
}

/// What is wrong, in words that need no file to be understood: keys are called as options are.
fn check(place: &Path, text: &str) -> Result<(), Failure> {
    let sources = Sources::gather_text(place, text);
    let outcome = doorstep_config::parse(&sources, Privileges::of_this_process());
    let errors: Vec<&Diagnostic> = outcome.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let mut failure = Failure::new(Code::Usage, first.message.clone());
    if !first.note.is_empty() {
        failure = failure.because(first.note.clone());
    }
    let others = errors.iter().skip(1).map(|error| error.message.clone());
    let fixes: Vec<String> =
        std::iter::once(as_option(&first.help)).filter(|help| !help.is_empty()).chain(others).collect();
    Err(failure.fix(fixes.join("\n")))
}

/// `ports = "20000-29999"` is `--ports 20000-29999` on a command line.
fn as_option(help: &str) -> String {
    let (words, line) = help.split_once("for example: ").map_or(("", help), |(_, line)| ("for example: ", line));
    match line.split_once(" = \"") {
        Some((key, value)) if key.chars().all(|c| c.is_ascii_lowercase()) && value.ends_with('"') => {
            format!("{words}--{key} {}", value.trim_end_matches('"'))
        }
        _ => help.to_owned(),
    }
}

/// The configuration that the command line stands for.
fn text(args: &RelayArgs) -> String {
    let mut file = Table::new();
    let mut set = |key: &str, value: Option<Value>| {
        value.and_then(|value| file.insert(key.to_owned(), value));
    };
    set("email", args.email.as_deref().map(said));
    set("issuers", args.directory.as_deref().map(|url| issuer(url, args.directory_roots.as_deref())));
    let listen = table([("http", list(&args.http)), ("https", list(&args.https))]);
    set("listen", Some(listen).filter(|listen| listen.as_table().is_some_and(|table| !table.is_empty())));
    let pair = args.cert.as_ref().zip(args.key.as_ref());
    let files = pair.map(|(chain, key)| table([("chain", Some(path(chain))), ("key", Some(path(key)))]));
    let certificate = files.or_else(|| args.local.then(|| said("local")));
    let relay = table([
        ("domain", args.domain.as_deref().map(said)),
        ("ports", args.ports.as_deref().map(said)),
        ("certificate", certificate),
        ("ssh", list(&args.ssh)),
        ("abuse", args.abuse.as_deref().map(said)),
    ]);
    set("relay", Some(relay));
    file.to_string()
}

fn table<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let set = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Table(set.collect())
}

fn list(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| Value::Array(texts.iter().map(|text| said(&with_colon(text))).collect()))
}

fn issuer(directory: &str, roots: Option<&Path>) -> Value {
    match directory {
        "letsencrypt" | "letsencrypt-staging" => said(directory),
        url => table([("directory", Some(said(url))), ("roots", roots.map(path))]),
    }
}

/// A port alone is that of every address.
fn with_colon(address: &str) -> String {
    if address.parse::<u16>().is_ok() { format!(":{address}") } else { address.to_owned() }
}

/// As it stands: a shell has filled in what variables there were.
fn said(text: &str) -> Value {
    Value::String(text.replace("${", "$${"))
}

fn path(path: &Path) -> Value {
    said(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(domain: &str) -> RelayArgs {
        RelayArgs { domain: Some(domain.to_owned()), ..RelayArgs::default() }
    }

    fn checked(args: &RelayArgs) -> Result<(), Failure> {
        check(Path::new("/nowhere/doorstep-relay"), &text(args))
    }

    #[test]
    fn a_command_line_is_a_configuration() {
        let full = RelayArgs {
            http: vec!["8080".to_owned()],
            https: vec!["127.0.0.1:8443".to_owned()],
            ports: Some("30000-30009".to_owned()),
            ssh: vec!["2222".to_owned()],
            email: Some("me@example.com".to_owned()),
            directory: Some("https://ca.example/dir".to_owned()),
            abuse: Some("abuse@example.com".to_owned()),
            ..args("tun.example.com")
        };
        checked(&full).unwrap();
        let sources = Sources::gather_text(Path::new("/nowhere/doorstep-relay"), &text(&full));
        let spec = doorstep_config::parse(&sources, Privileges::default()).spec.unwrap();
        let relay = spec.relay.unwrap();
        assert_eq!((relay.domain.as_str(), relay.ports, relay.ssh.len()), ("tun.example.com", 30_000..=30_009, 2));
        assert_eq!(spec.listeners.len(), 3, "{:?}", spec.listeners);
        assert_eq!(spec.issuance.issuers[0].directory, "https://ca.example/dir");
        checked(&args("tun.example.com")).unwrap();
        checked(&RelayArgs { local: true, ..args("localhost") }).unwrap();
    }

    #[test]
    fn what_is_wrong_is_told_by_the_names_of_options() {
        for (bad, what, fix) in [
            (args("https://tun.example.com"), "is not a host name", "--domain tun.example.com"),
            (args("192.0.2.1"), "no names beneath", "--domain tun.example.com"),
            (RelayArgs { ports: Some("9-1".to_owned()), ..args("a.example") }, "range of ports", "--ports 30000"),
            (RelayArgs { ports: Some("none ${HOME}".to_owned()), ..args("a.example") }, "range of ports", "--ports"),
            (RelayArgs { email: Some("me".to_owned()), ..args("a.example") }, "mail address", "--email"),
            (RelayArgs { http: vec!["there".to_owned()], ..args("a.example") }, "address", ""),
            (
                RelayArgs { cert: Some("/nowhere.pem".into()), key: Some("/n.pem".into()), ..args("a.example") },
                "cannot be read",
                "",
            ),
        ] {
            let failure = checked(&bad).unwrap_err();
            assert!(failure.code == Code::Usage && failure.what.contains(what), "{failure}");
            assert!(failure.fix.contains(fix), "{failure}");
        }
    }
}
