//! What requests leave behind: access logs, metrics, counters.
