//! The agent against relays that do as they are told, over real sockets.

mod ends;
mod fixture;
mod moves;
mod real;
mod relay;
mod roads;
mod stays;
mod streams;
