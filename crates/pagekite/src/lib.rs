//! Tunnels over PageKite: an agent at a stock front-end, and a front-end for stock back-ends.
