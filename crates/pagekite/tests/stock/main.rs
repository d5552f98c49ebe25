//! Both ends against Debian's `pagekite`, and against each other, on loopback.

mod app;
mod client;
mod hostile;
mod ours;
mod program;
mod server;
mod tls;
