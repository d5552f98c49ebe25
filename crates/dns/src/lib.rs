//! Names: what they lead to as the world sees it, providers that can be told to change them, and names that follow this
//! computer's address.

mod fault;
mod limits;
mod lookup;
mod names;
mod provider;

pub use fault::{Again, DnsFault};
pub use lookup::Lookup;
pub use names::{Addresses, Memory, NameState, NameStatus, Names, News, Options, undo};
pub use provider::{Kind, Provider};
