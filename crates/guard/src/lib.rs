//! Guards around a service: password, allow-list, rate and connection limits, expiry.
