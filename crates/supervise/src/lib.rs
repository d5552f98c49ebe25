//! Runs apps and keeps them running.
