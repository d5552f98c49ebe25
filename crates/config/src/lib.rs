//! Text of `doorstep.toml` into a [`doorstep_model::Spec`], with every error at once, each at its place.
//!
//! [`Sources::gather`] reads the file and everything that it names; [`parse`] is pure and says the same wherever the
//! sources are handed to. What the file may say is described once (`shape`): from that come the checks, [`schema`] and
//! [`reference`].

mod check;
mod context;
mod diagnostic;
mod limits;
mod load;
mod lower;
mod mask;
mod parse;
mod privileges;
mod reference;
mod schema;
mod shape;
mod sources;
mod suggest;
mod text;
mod tree;
mod trusted_open;
mod unknown;

pub use diagnostic::{Diagnostic, Mark, Text};
pub use parse::{Outcome, parse};
pub use privileges::Privileges;
pub use reference::reference;
pub use schema::schema;
pub use sources::Sources;
