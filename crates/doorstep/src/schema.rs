//! `doorstep schema`: what `doorstep.toml` may say, for editors and for people.

use std::process::ExitCode;

use clap::Args;

use crate::exit::Failure;

/// What `doorstep schema` can be told.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The reference as Markdown instead
    #[arg(long)]
    pub markdown: bool,
}

pub const EXAMPLES: &str = "\
Examples:
  doorstep schema > doorstep.schema.json   then, as first line of doorstep.toml:
                                           #:schema ./doorstep.schema.json
  doorstep schema --markdown | less        every key with its meaning";

/// # Errors
/// When standard output cannot be written.
pub fn run(args: &SchemaArgs) -> Result<ExitCode, Failure> {
    let text = if args.markdown { doorstep_config::reference() } else { format!("{:#}\n", doorstep_config::schema()) };
    crate::print(text.as_bytes())
}
