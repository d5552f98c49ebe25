//! Wire formats and protocol machines, without IO: bytes in, values out. Clocks and randomness are arguments.

pub mod gateway;
pub mod http1;
pub mod pagekite;
pub mod proxy_header;
pub mod tunnel;
