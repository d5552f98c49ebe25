//! Certificates: the local self-signed one.
