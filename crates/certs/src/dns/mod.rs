//! Looking names up as an authority does, and answering dns-01.

mod lookup;
mod provider;
mod record;

pub(crate) use lookup::Lookup;
pub(crate) use record::Record;
