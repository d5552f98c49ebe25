//! Wire formats and protocol machines, without IO.
