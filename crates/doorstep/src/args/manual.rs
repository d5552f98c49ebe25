//! The manual and the completions, made from the command line's definition.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;

/// Completions for `shell`, to standard output.
pub fn completions(shell: Shell, out: &mut dyn Write) {
    clap_complete::generate(shell, &mut Cli::command(), "doorstep", out);
}

/// The manual: one page for doorstep and all that it can do.
///
/// # Errors
/// Those of `out`.
pub fn man(out: &mut dyn Write) -> io::Result<()> {
    let mut command = without_help_flag(Cli::command());
    command.build();
    let leaves = leaves(&command);
    let page = Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    out.write_all(b".SH SYNOPSIS\n")?;
    for leaf in &leaves {
        writeln!(out, "{}\n.br", synopsis(leaf))?;
    }
    out.write_all(include_bytes!("description.roff"))?;
    out.write_all(b".SH COMMANDS\n")?;
    for leaf in &leaves {
        section(leaf, out)?;
    }
    out.write_all(include_bytes!("exit_codes.roff"))?;
    out.write_all(include_bytes!("files.roff"))
}

/// `--help` is there with each command; the page need not say so twenty times.
fn without_help_flag(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let command = command.disable_help_flag(true);
    names.iter().fold(command, |command, name| command.mut_subcommand(name, without_help_flag))
}

/// Commands that do something, in the order of `doorstep --help`.
fn leaves<'c>(command: &'c Command) -> Vec<&'c Command> {
    let commands = command.get_subcommands().filter(|it| it.get_name() != "help");
    let each = |it: &'c Command| {
        // `relay` does something by itself, too.
        let itself = (!it.has_subcommands() || it.get_opts().next().is_some()).then_some(it);
        itself.into_iter().chain(leaves(it)).collect::<Vec<_>>()
    };
    commands.flat_map(each).collect()
}

fn synopsis(command: &Command) -> String {
    let mut line = format!("\\fB{}\\fR", escaped(command.get_bin_name().unwrap_or_else(|| command.get_name())));
    if command.get_opts().next().is_some() || command.get_arguments().any(|it| it.get_long().is_some()) {
        line += " [\\fIOPTIONS\\fR]";
    }
    for argument in command.get_positionals() {
        let name = argument.get_value_names().map_or(argument.get_id().as_str(), |names| names[0].as_str());
        line += &match argument.is_required_set() {
            true => format!(" \\fI{name}\\fR"),
            false => format!(" [\\fI{name}\\fR]"),
        };
    }
    line
}

/// What one command does, its options, and examples.
fn section(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, ".SS {}", synopsis(command))?;
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string);
    writeln!(out, "{}", escaped(&about.unwrap_or_default()))?;
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    for line in String::from_utf8_lossy(&options).lines() {
        match line.strip_prefix(".SH ") {
            Some("OPTIONS") => {}
            Some(heading) => writeln!(out, ".PP\n\\fI{}\\fR", heading.trim_matches('"').to_lowercase())?,
            None => writeln!(out, "{line}")?,
        }
    }
    let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return Ok(()) };
    let after = after.to_string();
    // The exit codes of all commands follow at the end of the page.
    let (examples, _) = after.split_once("\n\nExit codes").unwrap_or((&after, ""));
    writeln!(out, ".PP\n.nf\n{}\n.fi", escaped(examples))
}

/// Text that roff does not take for anything else.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{}", line.replace('\\', "\\e").replace('-', "\\-")),
        false => line.replace('\\', "\\e").replace('-', "\\-"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `command` and all below it.
    fn all(command: &Command) -> Vec<&Command> {
        std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
    }

    #[test]
    fn man_page_and_completions_name_every_command_and_option() {
        let mut page = Vec::new();
        man(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap().replace("\\-", "-");
        let mut script = Vec::new();
        completions(Shell::Bash, &mut script);
        let script = String::from_utf8(script).unwrap();
        let mut command = without_help_flag(Cli::command()).disable_version_flag(true);
        command.build();
        for it in leaves(&command) {
            let name = it.get_bin_name().unwrap();
            let (_, section) = page.split_once(&format!(".SS \\fB{name}\\fR")).expect(name);
            let section = section.split("\n.S").next().unwrap_or_default();
            for option in it.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(section.contains(&format!("--{option}")), "{name} --{option} in the man page");
            }
            assert!(it.get_about().is_some(), "{name} says what it does");
        }
        for it in all(&command) {
            assert!(script.contains(it.get_name()), "{} in the completions", it.get_name());
            for option in it.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(script.contains(&format!("--{option}")), "--{option} in the completions");
            }
        }
        assert!(page.contains("EXIT STATUS") && page.contains("doorstep share holiday.mp4 --once"));
    }

    #[test]
    fn lines_that_look_like_roff_are_text() {
        assert_eq!(escaped(".env\n'a' \\ -x"), "\\&.env\n\\&'a' \\e \\-x");
    }
}
