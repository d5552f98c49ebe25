use std::path::PathBuf;

use clap::Args;
use doorstep_model::Hostname;

/// What `doorstep init` can be told.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder of the app or site; without one, this folder
    pub dir: Option<PathBuf>,

    /// The name visitors will use, such as blog.example.com [default: the folder's name, under .localhost]
    #[arg(long, value_name = "HOST", value_parser = name)]
    pub name: Option<Hostname>,

    /// Replace a doorstep.toml that is already there
    #[arg(long)]
    pub force: bool,
}

pub const EXAMPLES: &str = "\
Examples:
  doorstep init                            look at this folder, write doorstep.toml
  doorstep init blog --name example.com    another folder, under a name of your own

It reads files to find out what is there, and runs none of it.";

fn name(text: &str) -> Result<Hostname, String> {
    text.parse().map_err(|error: doorstep_model::HostnameError| match text.contains("://") || text.contains('/') {
        true => "write the name alone, such as blog.example.com".to_owned(),
        false => error.to_string(),
    })
}
