//! Answering dns-01.

mod record;

pub(crate) use doorstep_dns::Lookup;
pub(crate) use record::Record;
