//! Leased ports: bound when an agent claims one, kept a while for it to come back, and served by its streams.

mod bind;
mod lease;
mod tcp;
mod udp;

pub(crate) use lease::{LeaseError, Leases};
