//! Certificates from a real ACME server, Pebble, in good times and in bad.

mod issue;
mod support;
mod trouble;
mod without_acme;
